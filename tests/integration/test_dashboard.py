"""The dashboard of a cluster that quantize-zoo starts."""

import urllib.request

from quantize_zoo.engines.cluster_options import SchedulerAddress
from quantize_zoo.engines.dask.cluster import connect, dashboard_of


def test_dashboard_of_a_cluster_of_its_own_answers():
    with connect(SchedulerAddress("", workers=1)) as client, urllib.request.urlopen(dashboard_of(client)) as page:
        assert page.status == 200
