"""Delta tables that tests make, and runs over them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.input.result import read_result
from pipeline.storage.folder import Folder
from tests.pipeline.conftest import SMALL, Run, in_order, pairs
from tests.pipeline.input.table.by_hand import DeltaLog, make_vector
from tests.pipeline.run.stores import A

deltalake = pytest.importorskip("deltalake")
# Where two rows have the same ids the first file's counts, and the library names files at random: so no row here has
# those of another.
B = pairs(180).set_column(2, "doc_id", pa.array([f"d{i}" for i in range(180)])).slice(100)
COLUMNS = {name: "double" if name == "score" else "string" for name in A.column_names}
ANY = {"unit_rows": 30, "max_failed": 1}
RETRY = ANY | {"retry_failed": True}
GONE = [3, 4, 40]  # rows that are deleted: documents that are none of pairs()'s empty ones
BACK = "deleted from the table when its unit was scored"


class Table:
    """A Delta table in tmp_path, and runs over it."""

    def __init__(self, root: Path, run: Run):
        self.root, self._run = root, run
        self.path = str(root / "table")

    def write(self, *tables: pa.Table, mode: str = "append", **more: Any) -> None:
        for table in tables:
            deltalake.write_deltalake(self.path, table, mode=mode, **more)

    def open(self) -> Any:
        return deltalake.DeltaTable(self.path)

    def run(self, name: str = "out", version: int | None = None, **sections: Any) -> dict[str, Any]:
        about = {"format": "delta", "path": self.path} | ({} if version is None else {"version": version})
        given = {"table": about} | sections.pop("input", {})
        return self._run("", name, input=given, **{"run": ANY, "more": {"sizes": SMALL}} | sections)

    def run_plain(self, rows: pa.Table, **sections: Any) -> pa.Table:
        """The result of a run over these rows as a plain file, with the scores of no other."""
        folder = self.root / f"plain-{len(list(self.root.glob('plain*')))}"
        folder.mkdir()
        pq.write_table(rows, folder / "a.parquet")
        self._run(str(folder), f"{folder.name}-out", **{"run": ANY, "more": {"sizes": SMALL}} | sections)
        return in_order(self.root / f"{folder.name}-out")

    def ranked(self, name: str = "out") -> pa.Table:
        return in_order(self.root / name)

    def manifest(self, name: str = "out") -> dict[str, Any]:
        found = read_result(Folder(str(self.root / name)))
        assert found
        return found


class Deleted(Table):
    """A table whose first file has deletion vectors, which its log gets by hand."""

    def __init__(self, root: Path, run: Run):
        super().__init__(root, run)
        self.log = DeltaLog(root / "table", COLUMNS)
        self._a = self.log.add("a.parquet", A)
        self.log.commit(self._a, self.log.add("b.parquet", B))

    def delete(self, rows: list[int]) -> None:
        """Makes a version in which these rows of A are deleted, and no others."""
        before, vector = self._a, make_vector(self.log.root, rows, "u") if rows else None
        self._a = self.log.add("a.parquet", A, vector)
        self.log.commit(remove(before), self._a)


def remove(added: dict[str, Any]) -> dict[str, Any]:
    """The action that takes back one that added a file: it names the file and its deletion vector."""
    named = {name: value for name, value in added["add"].items() if name in ("path", "deletionVector")}
    return {"remove": named | {"deletionTimestamp": 0, "dataChange": True}}


def without(rows: list[int]) -> pa.Table:
    """A and B without these rows of A."""
    return pa.concat_tables([A.filter(pa.array([i not in rows for i in range(len(A))])), B])
