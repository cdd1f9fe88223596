"""Every error that a user can meet: what is wrong, where, and what to do.

The other modules raise what the functions here return, so that all messages can be read in one place, by area. An error
crosses from a cell's process to the main one as its three texts.
"""

from quantize_zoo.errors.baselines import *  # noqa: F403
from quantize_zoo.errors.bisection import *  # noqa: F403
from quantize_zoo.errors.components import *  # noqa: F403
from quantize_zoo.errors.configuration import *  # noqa: F403
from quantize_zoo.errors.data import *  # noqa: F403
from quantize_zoo.errors.execution import *  # noqa: F403
from quantize_zoo.errors.kinds import *  # noqa: F403
from quantize_zoo.errors.models import *  # noqa: F403
from quantize_zoo.errors.open_model_zoo import *  # noqa: F403
from quantize_zoo.errors.reports import *  # noqa: F403
from quantize_zoo.errors.searches import *  # noqa: F403
from quantize_zoo.errors.storage import *  # noqa: F403
from quantize_zoo.errors.system import *  # noqa: F403
