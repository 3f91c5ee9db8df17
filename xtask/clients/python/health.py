"""Prints the status of SERVICE, or of the whole server, from grpc.health.v1.Health."""

import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

if len(sys.argv) < 2:
    sys.exit("usage: python health.py HOST:PORT [SERVICE]")
target, service = (sys.argv[1:] + [""])[:2]
with grpc.insecure_channel(target) as channel:
    try:
        reply = HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=5)
    except grpc.RpcError as error:
        sys.exit(error.code().name)
print(HealthCheckResponse.ServingStatus.Name(reply.status))
