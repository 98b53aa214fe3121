#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# The stand-in for HashiCorp Vault is one that its own client (hvac) takes for it.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/vault.sh"
need_client fake-vault hvac
cd "$scratch" || exit 1
start_fake fake-vault 'old:app={"value":"v1"}'
cat >client.py <<'END'
import sys, hvac
address = sys.argv[1]
client = hvac.Client(url=address, token="t-root")
def check(what, good):
    print(("ok " if good else "not ok ") + what)
def refused(kind, call):
    try:
        call()
    except kind:
        return True
    except Exception as other:
        print("#", type(other), other)
    return False
check("health", not client.sys.is_sealed() if False else client.sys.read_health_status(method="GET")["sealed"] is False)
check("authenticated", client.is_authenticated())
check("a wrong token is not", not hvac.Client(url=address, token="x").is_authenticated())
two = client.secrets.kv.v2
made = two.create_or_update_secret(path="a/b", secret={"k": "one"})
check("write is version 1", made["data"]["version"] == 1)
two.create_or_update_secret(path="a/b", secret={"k": "two"})
newest = two.read_secret_version(path="a/b")
check("the newest", newest["data"]["data"] == {"k": "two"} and newest["data"]["metadata"]["version"] == 2)
check("an older one", two.read_secret_version(path="a/b", version=1)["data"]["data"] == {"k": "one"})
check("list", two.list_secrets(path="")["data"]["keys"] == ["a/"])
check("list below", two.list_secrets(path="a")["data"]["keys"] == ["b"])
check("missing", refused(hvac.exceptions.InvalidPath, lambda: two.read_secret_version(path="no")))
check("another mount", two.create_or_update_secret(path="x", secret={"k": "v"}, mount_point="team/kv")["data"]["version"] == 1)
one = client.secrets.kv.v1
check("version 1 reads", one.read_secret(path="app", mount_point="old")["data"] == {"value": "v1"})
one.create_or_update_secret(path="new", secret={"k": "v"}, mount_point="old")
check("version 1 writes", one.read_secret(path="new", mount_point="old")["data"] == {"k": "v"})
check("version 1 lists", one.list_secrets(path="", mount_point="old")["data"]["keys"] == ["app", "new"])
poor = hvac.Client(url=address, token="t-poor")
check("forbidden", refused(hvac.exceptions.Forbidden, lambda: poor.secrets.kv.v2.read_secret_version(path="a/b")))
role = hvac.Client(url=address)
role.auth.approle.login(role_id="role-1", secret_id="sid-1")
check("AppRole", role.secrets.kv.v2.read_secret_version(path="a/b")["data"]["data"] == {"k": "two"})
role.auth.token.revoke_self()
check("revoked", not role.is_authenticated())
check("a wrong AppRole", refused(hvac.exceptions.InvalidRequest, lambda: hvac.Client(url=address).auth.approle.login(role_id="role-1", secret_id="no")))
pod = hvac.Client(url=address)
pod.auth.kubernetes.login(role="pod", jwt="jwt-1") if hasattr(pod.auth.kubernetes, "login") else None
check("Kubernetes", pod.is_authenticated())
spaced = hvac.Client(url=address, token="t-root", namespace="corp")
check("a namespace", spaced.secrets.kv.v2.read_secret_version(path="a/b")["data"]["data"] == {"k": "two"})
lost = hvac.Client(url=address, token="t-root", namespace="nowhere")
check("another is not there", refused(hvac.exceptions.InvalidPath, lambda: lost.secrets.kv.v2.read_secret_version(path="a/b")))
END
client_points "$address"
done_testing
