"""Sends a name that is too long and decodes the google.rpc.BadRequest in the error's details."""

import sys
from pathlib import Path

import grpc
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

sys.path.append(str(Path(__file__).resolve().parents[3] / "proto"))
messages, services = grpc.protos_and_services("greet.proto")

if len(sys.argv) < 2:
    sys.exit("usage: python status.py HOST:PORT")

with grpc.insecure_channel(sys.argv[1]) as channel:
    try:
        services.GreeterStub(channel).SayHello(messages.HelloRequest(name="x" * 5000), timeout=5)
        sys.exit("a name of 5000 bytes was accepted")
    except grpc.RpcError as error:
        code, status = error.code().name, rpc_status.from_call(error)

bad_request = BadRequest()
if not any(detail.Unpack(bad_request) for detail in (status.details if status else [])):
    sys.exit(f"{code} without a google.rpc.BadRequest")
for violation in bad_request.field_violations:
    print(f"{code} {violation.field}: {violation.description}")
