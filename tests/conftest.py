"""Numbers are compared at f32 with AVX2 at most, the same on every CPU; to be set before OpenVINO is loaded."""

import os

os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"

import contextlib
import io
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from quantize_zoo.config import ModelConfig, load_model_config

# A job that a shell starts in the background ignores Ctrl-C; tests of it send it to themselves and to what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast inputs are generated says something of the machine, not of the code.
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")

ZOO = Path(__file__).parents[1] / "model_zoo_configs"


@pytest.fixture(scope="session")
def zoo() -> Path:
    return ZOO


@pytest.fixture(scope="session")
def mobilenet() -> ModelConfig:
    return load_model_config(ZOO / "embedded" / "digits-mobilenet.yml")


@pytest.fixture(scope="session")
def postgresql_server():
    """A server of Debian's PostgreSQL on a loopback port, in a folder of its own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("no PostgreSQL server is installed")
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    binaries = programs[-1].parent
    # Not among pytest's folders, which every pytest that a test starts closes to other users.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    # The server refuses to run as root; Debian's package comes with a user for it.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres")

    def run(program, *arguments):
        command = [*as_user, binaries / program, "-D", folder / "data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run("initdb", "--auth=trust", "--username=zoo", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run("pg_ctl", "-w", "-o", options, "-l", folder / "log", "start")
    yield f"postgresql+psycopg://zoo@127.0.0.1:{port}"
    run("pg_ctl", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def postgresql(postgresql_server):
    """An empty database."""
    engine = sa.create_engine(f"{postgresql_server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS zoo WITH (FORCE)"))
        connection.execute(sa.text("CREATE DATABASE zoo"))
    engine.dispose()
    return f"{postgresql_server}/zoo"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Certificate, authority and key; one key more, and an encrypted one."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make certificates")
    folder = tmp_path_factory.mktemp("tls")

    def run(*arguments):
        subprocess.run([openssl, *arguments], check=True, capture_output=True, cwd=folder)

    subject = ["-subj", "/CN=localhost", "-days", "1"]
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", *subject)
    run("genrsa", "-out", "other.pem", "2048")
    run("rsa", "-in", "key.pem", "-aes256", "-passout", "pass:secret", "-out", "encrypted.pem")
    (folder / "text.pem").write_text("not PEM\n")
    return folder


@pytest.fixture
def quantize_zoo(monkeypatch, capfd):
    """Run the command in this process; return exit status, standard output and standard error.

    Standard output is what Python prints there, as the program sees to: native libraries print there as well.
    """
    from quantize_zoo import cli

    def invoke(*arguments):
        monkeypatch.setattr(sys, "argv", ["quantize-zoo", *map(str, arguments)])
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(printed):
            cli.main()
        printed.flush()
        _, err = capfd.readouterr()
        return ended.value.code or 0, printed.buffer.getvalue().decode(), err

    return invoke
