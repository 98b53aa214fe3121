#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# The stand-in for AWS Secrets Manager is one that the service's own client (boto3) takes for it.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/vault.sh"
need_client fake-aws boto3
cd "$scratch" || exit 1
start_fake fake-aws 'app/key=v1' 'app/key=v2' 'z=1'
printf 'jwt-1' >jwt
cat >client.py <<'END'
import os, sys
address, scratch = sys.argv[1:]
for name in [n for n in os.environ if n.startswith("AWS_") or n.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = scratch + "/none"
import boto3, botocore
from botocore.config import Config
quick = Config(retries={"max_attempts": 1}, connect_timeout=20, read_timeout=20)
def client(service="secretsmanager", **more):
    return boto3.Session().client(service, region_name="eu-test-1", endpoint_url=address, config=quick, **more)
def check(what, good):
    print(("ok " if good else "not ok ") + what)
def refused(type, call):
    try:
        call()
    except botocore.exceptions.ClientError as why:
        if why.response["Error"]["Code"] == type:
            return True
        print("#", why)
    return False
root = dict(aws_access_key_id="AKIDROOT", aws_secret_access_key="root/Secret+Key")
c = client(**root)
got = c.get_secret_value(SecretId="app/key")
check("the current version", got["SecretString"] == "v2" and got["VersionStages"] == ["AWSCURRENT"] and got["Name"] == "app/key")
check("the one before", c.get_secret_value(SecretId="app/key", VersionStage="AWSPREVIOUS")["SecretString"] == "v1")
check("by ARN and id", c.get_secret_value(SecretId=got["ARN"], VersionId=got["VersionId"])["SecretString"] == "v2")
check("missing", refused("ResourceNotFoundException", lambda: c.get_secret_value(SecretId="no")))
made = c.create_secret(Name="b/new", SecretBinary=b"\x00\xff")
check("create, bytes", c.get_secret_value(SecretId="b/new")["SecretBinary"] == b"\x00\xff")
check("once", refused("ResourceExistsException", lambda: c.create_secret(Name="b/new", SecretString="x")))
put = c.put_secret_value(SecretId="b/new", SecretString="two", VersionStages=["AWSPENDING"])
check("pending", c.get_secret_value(SecretId="b/new")["VersionId"] == made["VersionId"] and put["VersionStages"] == ["AWSPENDING"])
c.update_secret_version_stage(SecretId="b/new", VersionStage="AWSCURRENT", MoveToVersionId=put["VersionId"], RemoveFromVersionId=made["VersionId"])
check("promoted", c.get_secret_value(SecretId="b/new")["SecretString"] == "two")
check("what was is the previous one", c.get_secret_value(SecretId="b/new", VersionStage="AWSPREVIOUS")["VersionId"] == made["VersionId"])
check("who does not have the stage loses nothing", refused("InvalidParameterException", lambda: c.update_secret_version_stage(SecretId="b/new", VersionStage="AWSCURRENT", MoveToVersionId=put["VersionId"], RemoveFromVersionId=made["VersionId"])))
versions = c.list_secret_version_ids(SecretId="b/new")["Versions"]
check("versions", {v["VersionId"]: v["VersionStages"] for v in versions} == {made["VersionId"]: ["AWSPREVIOUS"], put["VersionId"]: ["AWSCURRENT", "AWSPENDING"]})
pages = list(c.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 2}, Filters=[]))
check("pages", len(pages) == 2 and [s["Name"] for p in pages for s in p["SecretList"]] == ["app/key", "b/new", "z"])
check("a filter", [s["Name"] for s in c.list_secrets(Filters=[{"Key": "name", "Values": ["app/"]}])["SecretList"]] == ["app/key"])
check("a wrong key", refused("InvalidSignatureException", lambda: client(aws_access_key_id="AKIDROOT", aws_secret_access_key="x").get_secret_value(SecretId="z")))
check("one that nobody has", refused("UnrecognizedClientException", lambda: client(aws_access_key_id="AKIDX", aws_secret_access_key="x").get_secret_value(SecretId="z")))
check("denied", refused("AccessDeniedException", lambda: client(aws_access_key_id="AKIDPOOR", aws_secret_access_key="poor/Secret+Key").get_secret_value(SecretId="z")))
check("a session token", client(aws_access_key_id="ASIAENV", aws_secret_access_key="env/Secret+Key", aws_session_token="env-token/+==").get_secret_value(SecretId="z")["SecretString"] == "1")
check("an expired one", refused("ExpiredTokenException", lambda: client(aws_access_key_id="ASIASTALE", aws_secret_access_key="stale/Secret+Key", aws_session_token="stale-token/+==").get_secret_value(SecretId="z")))
sts = client("sts", **root)
role = sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/other", RoleSessionName="session")["Credentials"]
check("AssumeRole", role["AccessKeyId"] == "ASIAROLE" and role["SessionToken"] == "role-token/+==")
web = client("sts", **root).assume_role_with_web_identity(RoleArn="arn:aws:iam::123456789012:role/web", RoleSessionName="session", WebIdentityToken="jwt-1")["Credentials"]
check("AssumeRoleWithWebIdentity", web["AccessKeyId"] == "ASIAWEB")
check("with a wrong token", refused("InvalidIdentityToken", lambda: sts.assume_role_with_web_identity(RoleArn="arn:aws:iam::123456789012:role/web", RoleSessionName="session", WebIdentityToken="wrong")))
os.environ.update(AWS_CONTAINER_CREDENTIALS_FULL_URI=address + "/container", AWS_CONTAINER_AUTHORIZATION_TOKEN="ctoken")
check("a container's endpoint", client().get_secret_value(SecretId="z")["SecretString"] == "1")
del os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], os.environ["AWS_EC2_METADATA_DISABLED"]
os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = address
check("an instance's metadata", client().get_secret_value(SecretId="z")["SecretString"] == "1")
os.environ.update(AWS_CONFIG_FILE=scratch + "/aws-config", AWS_PROFILE="quoted", AWS_EC2_METADATA_DISABLED="true")
check("credential_process", client().get_secret_value(SecretId="z")["SecretString"] == "1")
END
# The program of t/vault-aws.t, with its words in quotes.
cp "$top_srcdir/t/vault/key-maker" "key maker"
chmod 0755 "key maker"
printf '[profile quoted]\ncredential_process = "%s/key maker" %s 1\n' "$scratch" "'AKIDROOT'" >aws-config
client_points "$address" "$scratch"
done_testing
