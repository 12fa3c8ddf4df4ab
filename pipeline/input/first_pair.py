"""The first pairs of an input, to see what becomes of them."""

import pyarrow as pa
import pyarrow.compute as pc

from actors.rerankers import Settings
from actors.rerankers.contract import Pair
from pipeline.input.columns import TEXTS, as_text
from pipeline.input.footers import read_file_footer
from pipeline.input.listing import InputFile
from pipeline.input.pairs import make_pairs
from pipeline.input.parquet import read_batches

ROWS = 64  # the first ones of the file's first row group, of which those with both texts are taken


def read_first_pairs(file: InputFile, columns: dict[str, str], settings: Settings) -> list[Pair]:
    """Those of the first ROWS that have a query and a document.

    columns: logical name -> column in the files. Raises UsageError where the file cannot be read.
    """
    footer, begin = read_file_footer(file)
    group = next((i for i in range(footer.num_row_groups) if footer.row_group(i).num_rows), None)
    if group is None:
        return []
    used = {name: columns[name] for name in TEXTS if name in columns}
    ranges, groups, names = [(begin, file.size)], range(group, group + 1), list(dict.fromkeys(used.values()))
    batch = next(read_batches(file.path, file.size, ranges, groups, names, ROWS, file.version, file.shown))
    texts = pa.table({name: as_text(batch[column])[0] for name, column in used.items()})
    if file.shown:  # the texts are filtered, for Arrow filters no views of strings, which deltalake writes
        first = sum(footer.row_group(i).num_rows for i in range(group))
        texts = texts.filter(pa.array(~file.shown.find_deleted(first, first + len(batch))))
    for name in ("query", "doc"):
        texts = texts.filter(pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(texts[name]), ""), False))
    return make_pairs(texts, settings)
