"""POT's configuration files and its command line: what they say, in this project's terms."""

from quantize_zoo.config.pot.algorithms import AccuracyAware
from quantize_zoo.config.pot.command_line import PotOptions, check_options
from quantize_zoo.config.pot.engine import CheckerEngine, Engine, Images, Noise, image_files
from quantize_zoo.config.pot.job import PotJob, load_pot, load_pot_compression, pot_of_options

__all__ = [
    "AccuracyAware",
    "CheckerEngine",
    "Engine",
    "Images",
    "Noise",
    "PotJob",
    "PotOptions",
    "check_options",
    "image_files",
    "load_pot",
    "load_pot_compression",
    "pot_of_options",
]
