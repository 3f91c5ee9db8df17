// The client of the original program with @grpc/grpc-js instead of `grpc`: one SayHello
// per name, in turn. With CA (and CERT and KEY) in the environment: over TLS (and mTLS).
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const definition = protoLoader.loadSync(path.join(__dirname, '../../../proto/greet.proto'), {
  keepCase: true, longs: String, enums: String, defaults: true, oneofs: true,
});
const greet = grpc.loadPackageDefinition(definition).greet;

const file = (name) => (name ? fs.readFileSync(name) : null);
const { CA, CERT, KEY } = process.env;
const credentials = CA
  ? grpc.credentials.createSsl(file(CA), file(KEY), file(CERT))
  : grpc.credentials.createInsecure();

async function main([target, ...names]) {
  if (!target) throw new Error('usage: node client.js HOST:PORT NAME...');
  const client = new greet.Greeter(target, credentials);
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
