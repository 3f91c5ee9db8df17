// The client of the original program, its `grpc` package replaced by @grpc/grpc-js: one SayHello
// per name, in turn.
const path = require('node:path');
const { promisify } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const definition = protoLoader.loadSync(path.join(__dirname, '../../../proto/greet.proto'), {
  keepCase: true, longs: String, enums: String, defaults: true, oneofs: true,
});
const greet = grpc.loadPackageDefinition(definition).greet;

async function main([target, ...names]) {
  if (!target) throw new Error('usage: node client.js HOST:PORT NAME...');
  const client = new greet.Greeter(target, grpc.credentials.createInsecure());
  const sayHello = promisify(client.sayHello).bind(client);
  for (const name of names) {
    const response = await sayHello({ name });
    console.log(response.message);
  }
  client.close();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
