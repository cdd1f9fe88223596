"""How the command line names a cluster, and what is refused before anybody is asked."""

import os
from pathlib import Path

import pytest

from quantize_zoo.engines import ClusterOptions, SchedulerAddress, find_scheduler
from quantize_zoo.errors import ConfigurationError

HERE = "tcp://127.0.0.1:8786"
FILE = Path("scheduler.json")


def refused(message, **options):
    with pytest.raises(ConfigurationError, match=message) as found:
        find_scheduler(ClusterOptions(**options))
    assert found.value.remedy


@pytest.mark.parametrize("address", [HERE, "127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:8786"])
def test_an_address_on_this_machine_is_taken_as_it_is(address):
    assert find_scheduler(ClusterOptions(address)) == SchedulerAddress(address)


def test_exactly_one_way_names_a_cluster():
    refused("no cluster is named")
    refused("--scheduler and --scheduler-file name different clusters", scheduler=HERE, scheduler_file=FILE)
    refused("--scheduler and --workers name different clusters", scheduler=HERE, workers=2)
    refused("--scheduler-file and --workers name different clusters", scheduler_file=FILE, workers=2)
    assert find_scheduler(ClusterOptions(workers=2)).workers == 2


def test_a_worker_joins_a_cluster_and_starts_none():
    with pytest.raises(ConfigurationError, match="no cluster is named") as found:
        find_scheduler(ClusterOptions(), workers=False)
    assert found.value.remedy == "name one: --scheduler or --scheduler-file"


def test_workers_of_this_machine_need_no_tls_and_no_word():
    refused("needs no TLS", workers=2, insecure=True)
    refused("needs no TLS", workers=2, tls_ca_file=Path("ca.pem"))


@pytest.mark.parametrize(
    "address",
    ["", "somewhere", "127.0.0.1", "tcp://127.0.0.1:http", "tcp://127.0.0.1:99999", "tcp://127.0.0.1:0", "tcp://:8786",
     "tcp://[::1:8786", "http://127.0.0.1:8786", "tcp://127.0.0.1:8786/x", "tcp://local host:8786"],
)  # fmt: skip
def test_an_address_of_another_form_is_refused(address):
    refused("is no address of a scheduler", scheduler=address)


def test_beyond_this_machine_tls_or_a_word_is_needed():
    refused("can be reached by others", scheduler="tcp://10.0.0.1:8786")
    assert find_scheduler(ClusterOptions("tcp://10.0.0.1:8786", insecure=True)).insecure


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is not JSON"),
        ("\ud800", "it is not JSON"),
        ("[1, 2]", "it has no address"),
        ('{"address": 8786}', "it has no address"),
        ('{"address": "somewhere"}', "'somewhere' is no address of a scheduler"),
        ('{"address": "tcp://10.0.0.1:8786"}', "can be reached by others"),
        ('{"address": "tls://127.0.0.1:8786"}', "uses TLS, for which no files are given"),
    ],
)
def test_a_schedulers_file_is_read_and_what_it_says_is_held_to_the_same_rules(content, message, tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_bytes(content.encode(errors="surrogatepass"))
    refused(message, scheduler_file=file)


def test_a_schedulers_file_must_be_there_and_be_a_file(tmp_path):
    refused("there is no such file", scheduler_file=tmp_path / "none.json")
    refused("Is a directory", scheduler_file=tmp_path)


def test_a_schedulers_file_gives_the_address(tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(f'{{"type": "Scheduler", "address": "{HERE}"}}')
    assert find_scheduler(ClusterOptions(scheduler_file=file)) == SchedulerAddress(HERE)


def tls(folder, ca="cert.pem", cert="cert.pem", key="key.pem"):
    return {"tls_ca_file": folder / ca, "tls_cert": folder / cert, "tls_key": folder / key}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ca": "none.pem"}, "none.pem: No such file"),
        ({"cert": "."}, ": Is a directory"),
        ({"key": "text.pem"}, "text.pem: it is not PEM"),
        ({"ca": "key.pem"}, "key.pem: "),
        ({"cert": "key.pem"}, "key.pem with "),
        ({"key": "other.pem"}, "(?i)values.mismatch"),
        ({"key": "encrypted.pem"}, "encrypted.pem: "),
    ],
    ids=str,
)
def test_each_tls_file_is_looked_at_before_it_is_used(wrong, message, certificates):
    refused(message, scheduler="tls://127.0.0.1:9", **tls(certificates, **wrong))


def test_tls_needs_all_three_files(certificates):
    refused("TLS needs all three files", scheduler="tls://127.0.0.1:9", tls_cert=certificates / "cert.pem")


def test_tls_files_and_tls_addresses_belong_together(certificates):
    refused("does not use TLS, for which files are given", scheduler=HERE, **tls(certificates))
    refused("uses TLS, for which no files are given", scheduler="tls://127.0.0.1:8786")
    assert find_scheduler(ClusterOptions("tls://10.0.0.1:8786", **tls(certificates))).tls.key.name == "key.pem"


def test_pipes_and_devices_are_no_files(tmp_path):
    """Of the one nothing ever comes, of the other without end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        refused("a pipe or a device", scheduler_file=path)
        refused("a pipe or a device", scheduler="tls://127.0.0.1:9", tls_ca_file=path, tls_cert=path, tls_key=path)
