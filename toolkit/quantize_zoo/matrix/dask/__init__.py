"""The matrix on Dask: cells over workers, and the trials of a cell over workers; the store stays with the client.

Only imported where Dask is asked for: it is an extra (``pip install quantize-zoo[dask]``).
"""

from quantize_zoo.matrix.dask.cluster import connect, serve
from quantize_zoo.matrix.dask.executor import DaskExecutor

__all__ = ["DaskExecutor", "connect", "serve"]
