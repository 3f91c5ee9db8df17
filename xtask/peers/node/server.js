// The Greeter server on @grpc/grpc-js, with the packages of xtask/clients/node.
// Usage: node server.js HOST:PORT
const path = require('node:path');
const { createRequire } = require('node:module');

const installed = createRequire(path.join(__dirname, '../../clients/node/package.json'));
const grpc = installed('@grpc/grpc-js');
const protoLoader = installed('@grpc/proto-loader');

const definition = protoLoader.loadSync(path.join(__dirname, '../../../proto/greet.proto'), {
  keepCase: true, longs: String, enums: String, defaults: true, oneofs: true,
});
const greet = grpc.loadPackageDefinition(definition).greet;

function sayHello(call, callback) {
  callback(null, { message: 'Hello ' + call.request.name });
}

const [address] = process.argv.slice(2);
if (!address) {
  console.error('usage: node server.js HOST:PORT');
  process.exit(2);
}
const server = new grpc.Server();
server.addService(greet.Greeter.service, { sayHello });
server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
  console.log(`listening on http://${address.replace(/\d+$/, port)}`);
});
