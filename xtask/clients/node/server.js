// The server of the original program with @grpc/grpc-js instead of `grpc`.
// Usage: node server.js [HOST:PORT]
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const definition = protoLoader.loadSync(path.join(__dirname, '../../../proto/greet.proto'), {
  keepCase: true, longs: String, enums: String, defaults: true, oneofs: true,
});
const greet = grpc.loadPackageDefinition(definition).greet;

function sayHello(call, callback) {
  callback(null, { message: 'Hello ' + call.request.name });
}

const address = process.argv[2] || '0.0.0.0:50051';
const server = new grpc.Server();
server.addService(greet.Greeter.service, { sayHello });
server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
  console.log(`listening on ${address.replace(/\d+$/, port)}`);
});
