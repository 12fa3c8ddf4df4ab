"""The config of a run."""

from pipeline.config.load import load as load
from pipeline.config.load import parse as parse
from pipeline.config.sections import Config as Config
from pipeline.config.sections import Fusion as Fusion
