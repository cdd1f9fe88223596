"""Passwords are not shown."""

import pytest

from quantize_zoo import errors
from quantize_zoo.text.masks import mask_url, mask_urls


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///reports/store.db", "sqlite:///reports/store.db"),
        ("sqlite:////tmp/a b%20@c:d.db", "sqlite:////tmp/a b%20@c:d.db"),
        ("postgresql+psycopg://zoo@host/db", "postgresql+psycopg://zoo@host/db"),
        ("postgresql+psycopg://zoo:s3cret@host:5432/db", "postgresql+psycopg://zoo:***@host:5432/db"),
        ("postgresql://:s3cret@host/db", "postgresql://:***@host/db"),
        ("postgresql://zoo:s3%40cret@host/db", "postgresql://zoo:***@host/db"),
        ("postgresql://zoo@host/db?password=s3cret&sslmode=require", "postgresql://zoo@host/db?password=***&sslmode=require"),
        ("postgresql://zoo:s3cret@host/db?sslpassword=s3cret", "postgresql://zoo:***@host/db?sslpassword=***"),
    ],
)  # fmt: skip
def test_password_of_a_url_is_masked(url, shown):
    assert mask_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://zoo:s3@cr/e?t@host/db",
        "postgresql://zoo:s3 @cret@host/db",
        "postgresql://zoo@host/db?password=s3@cret",
    ],
)
def test_password_with_signs_of_a_url_is_masked_whole(url):
    shown = mask_url(url)
    assert "***" in shown
    assert not any(part in shown for part in ("s3", "cr", "ret"))


@pytest.mark.parametrize(
    "url", ["postgresql://zoo:s3cret", "postgresql://zoo:s3cret@host:port/db", "postgres:/zoo:s3cret@host"]
)
def test_url_that_cannot_be_parsed_is_masked(url):
    assert "s3cret" not in mask_url(url)


def test_what_is_no_url_is_shown():
    assert mask_url("nonsense") == "nonsense"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--store postgresql://zoo:s3cret@host/db --x CPU@AMD", "--store postgresql://zoo:***@host/db --x CPU@AMD"),
        ("'--store=postgresql://zoo:my s3cret@host/db' --seed 1", "'--store=postgresql://zoo:***@host/db' --seed 1"),
        ("'postgresql://zoo:it'\"'\"'s3@host/db' x", "'postgresql://zoo:***@host/db' x"),
        ("see https://u:s3@x.org and https://v:s4@y.org.", "see https://u:***@x.org and https://v:***@y.org."),
        ("'postgresql://host/db?user=zoo&password=s3cret'", "'postgresql://host/db?user=zoo&password=***'"),
        ("tcp://host:8786, mail me@x.org", "tcp://host:8786, mail me@x.org"),
    ],
)  # fmt: skip
def test_passwords_of_urls_in_a_text_are_masked(text, shown):
    assert mask_urls(text) == shown


@pytest.mark.parametrize(
    "url",
    [
        "host=x user=zoo password=s3cret", "postgresql//zoo:s3cret@host/db", "postgresql:/zoo:s3cret@host",
        "postgresql://zoo:s3cret@[::1/db", "POSTGRESQL://zoo:s3cret@host:x/db", "postgresql://zoo:s3cret@host:99999999/db",
        "postgresql://zoo:s3cret@host/db?password=s3cret&token=s3cret", "://zoo:s3cret@host", "zoo:s3cret@host",
        "postgresql://zoo:s3\ncret@host/db", "jdbc:postgresql://host/db?user=zoo&password=s3cret",
        "password=s3cret", "sqlite:///x.db?secret=s3cret",
    ],
)  # fmt: skip
def test_of_no_odd_url_the_password_is_shown(url):
    for text in (mask_url(url), str(errors.store_unusable(url, f"no such thing: {url}")), mask_urls(url, url)):
        assert "s3" not in text or "s3cret" not in text.replace("\n", ""), text


@pytest.mark.parametrize("written", ["p@ss", "p%40ss"])
def test_secrets_of_a_url_are_masked_wherever_they_stand(written):
    url = "postgresql://zoo:p%40ss@host/db"
    assert mask_urls(f"connection with {written} refused", url) == "connection with *** refused"


@pytest.mark.parametrize(
    "make",
    [
        errors.no_runs,
        lambda url: errors.store_unusable(url, f"no server at {url} for s3cret"),
        lambda url: errors.store_too_new(url, "9999"),
        lambda url: errors.store_write_failed(url, f"no server at {url} for s3cret"),
        lambda url: errors.store_read_failed(url, f"no server at {url} for s3cret"),
    ],
    ids=["no_runs", "store_unusable", "store_too_new", "store_write_failed", "store_read_failed"],
)
def test_errors_of_the_store_show_no_password(make):
    message = str(make("postgresql://zoo:s3cret@host/db"))
    assert "postgresql://zoo:***@host/db" in message
    assert "s3cret" not in message
