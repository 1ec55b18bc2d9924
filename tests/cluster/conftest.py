"""A cluster of two processes for all tests here."""

from __future__ import annotations

import os
import warnings

import pytest


@pytest.fixture(scope="session")
def cluster():
    from distributed import LocalCluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50)
        yield made
        made.close()


@pytest.fixture(scope="session")
def processes():
    """The process ids of a cluster's workers."""

    def found(cluster):
        from distributed import Client

        with Client(cluster.scheduler_address, set_as_default=False) as client:
            return set(client.run(os.getpid).values())

    return found
