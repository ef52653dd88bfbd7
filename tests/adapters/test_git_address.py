"""Addresses of repositories: what a name stands for, and what git is not asked for."""

from __future__ import annotations

import pytest

from shoal.adapters.git.address import address_of
from shoal.errors import WorkspaceError


@pytest.mark.parametrize(
    ("name", "url", "found"),
    [
        ("acme/pond", None, "https://github.com/acme/pond.git acme/pond.git"),
        ("acme/pond.git", None, "https://github.com/acme/pond.git acme/pond.git"),
        ("acme/pond", "/srv/pond", "/srv/pond acme/pond.git"),
        ("acme/pond", "https://me:pw@h.example/x.git", "https://h.example/x.git acme/pond.git"),
        ("https://me:pw@h.example/x.git", None, "https://h.example/x.git _/https-h-example-x-"),
        ("https://t0ken@h.example:8443/x.git", None, "https://h.example:8443/x.git _/https-h-example-8443-x-"),
        ("git@h.example:a/b.git", None, "git@h.example:a/b.git _/git-h-example-a-b-"),
        ("ssh://git:pw@h.example/a", None, "ssh://git@h.example/a _/ssh-git-h-example-a-"),
        ("/srv/../pond", None, "/srv/../pond _/srv-pond-"),
    ],
)
def test_address_of_a_repository(name: str, url: str | None, found: str) -> None:
    address = address_of(name, url)
    assert f"{address.url} {address.mirror}".startswith(found)
    assert "me:pw" not in f"{address} {address.name} {address.mirror}"
    assert "t0ken" not in f"{address} {address.name} {address.mirror}"


@pytest.mark.parametrize(
    "name",
    [
        "pond",
        "./pond",
        "../pond",
        "a/../..",
        "acme/..",
        "--upload-pack=touch x",
        "-x/y",
        "ext::sh -c touch% x",
        "ext::sh",
        "fd::17",
        "ftp://h/x",
        "http://[::1",
        "https:///x",
        "https://h/x?private_token=pw",
        "ssh://-oProxyCommand=x/y",
        "a b/c",
    ],
)
def test_address_that_git_is_not_asked_for(name: str) -> None:
    with pytest.raises(WorkspaceError) as refused:
        address_of(name)
    assert "pw" not in refused.value.message


def test_relative_path_is_refused_with_the_way_out() -> None:
    with pytest.raises(WorkspaceError, match=r'\[repositories\."../pond"\] url = '):
        address_of("../pond")
