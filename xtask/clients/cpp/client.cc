// The Greeter client on grpc++: one SayHello per name, in turn.
#include <chrono>
#include <iostream>

#include <grpcpp/grpcpp.h>

#include "greet.grpc.pb.h"

int main(int argc, char* argv[]) {
  if (argc < 2) {
    std::cerr << "usage: client HOST:PORT NAME...\n";
    return 2;
  }
  auto channel = grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials());
  auto greeter = greet::Greeter::NewStub(channel);

  for (int i = 2; i < argc; ++i) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    greet::HelloRequest request;
    request.set_name(argv[i]);
    greet::HelloReply reply;

    grpc::Status status = greeter->SayHello(&context, request, &reply);
    if (!status.ok()) {
      std::cerr << status.error_code() << ": " << status.error_message() << '\n';
      return 1;
    }
    std::cout << reply.message() << '\n';
  }
}
