"""Lists the services by reflection (grpc.reflection.v1alpha), then calls SayHello with
the descriptors that reflection returned."""

import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

if len(sys.argv) < 2:
    sys.exit("usage: python reflect.py HOST:PORT")

with grpc.insecure_channel(sys.argv[1]) as channel:
    try:
        database = ProtoReflectionDescriptorDatabase(channel)
        print(*sorted(database.get_services()), sep="\n")

        greeter = DescriptorPool(database).FindServiceByName("greet.Greeter")
        method = greeter.methods_by_name["SayHello"]
        say_hello = channel.unary_unary(
            f"/{greeter.full_name}/{method.name}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = GetMessageClass(method.input_type)(name="Reflection")
        print(say_hello(request, timeout=5).message)
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
