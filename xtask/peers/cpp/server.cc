// The Greeter server on the completion queues of grpc++, which its guide calls the fastest API.
#include <sched.h>

#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "greet.grpc.pb.h"

namespace {

constexpr unsigned kThreadsPerQueue = 2;
constexpr int kWaitingPerQueue = 100;  // calls that are registered in advance

// One call: waits for it, answers it and deletes itself.
class Call {
 public:
  Call(greet::Greeter::AsyncService* service, grpc::ServerCompletionQueue* queue)
      : service_(service), queue_(queue), writer_(&context_) {
    service_->RequestSayHello(&context_, &request_, &writer_, queue_, queue_, this);
  }

  // The event of this call: it arrived, or its reply was sent.
  void Proceed(bool ok) {
    if (answered_ || !ok) {
      delete this;
      return;
    }
    new Call(service_, queue_);  // waits for the next call
    answered_ = true;
    greet::HelloReply reply;
    reply.set_message("Hello " + request_.name());
    writer_.Finish(reply, grpc::Status::OK, this);
  }

 private:
  greet::Greeter::AsyncService* service_;
  grpc::ServerCompletionQueue* queue_;
  bool answered_ = false;
  grpc::ServerContext context_;
  greet::HelloRequest request_;
  grpc::ServerAsyncResponseWriter<greet::HelloReply> writer_;
};

void Serve(grpc::ServerCompletionQueue* queue) {
  void* call;
  bool ok;
  while (queue->Next(&call, &ok)) static_cast<Call*>(call)->Proceed(ok);
}

// The cores that this process may run on.
unsigned Cores() {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

}  // namespace

int main(int argc, char* argv[]) {
  if (argc != 2) {
    std::cerr << "usage: server HOST:PORT\n";
    return 2;
  }
  const std::string address = argv[1];
  const unsigned threads = Cores();
  int port = 0;

  greet::Greeter::AsyncService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  while (queues.size() * kThreadsPerQueue < threads) {
    queues.push_back(builder.AddCompletionQueue());
  }
  const auto server = builder.BuildAndStart();
  if (!server) return 1;  // grpc++ logs the reason

  for (const auto& queue : queues) {
    for (int i = 0; i < kWaitingPerQueue; ++i) new Call(&service, queue.get());
  }
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < threads; ++i) {
    workers.emplace_back(Serve, queues[i % queues.size()].get());
  }
  std::cout << "listening on http://" << address.substr(0, address.rfind(':')) << ':' << port
            << std::endl;
  for (auto& worker : workers) worker.join();
}
