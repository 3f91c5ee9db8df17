// Calls SayHello from a browser. `?server=URL` is the daemon; each `&name=NAME` is greeted on load.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Greeter } from "greet"; // generated from proto/greet.proto by serve.js

const query = new URLSearchParams(location.search);
const server = query.get("server") ?? location.origin;
const greeter = createClient(Greeter, createGrpcWebTransport({ baseUrl: server }));
document.getElementById("server").textContent = server;

function show(text, failed) {
  const line = document.createElement("li");
  line.textContent = text;
  line.className = failed ? "failed" : "answered";
  document.getElementById("replies").append(line);
}

async function hello(name) {
  try {
    // Longer than the virtual time of the test's browser, which skips time while it is idle.
    const reply = await greeter.sayHello({ name }, { timeoutMs: 30_000 });
    show(reply.message, false);
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    show(`${Code[code]}: ${rawMessage}`, true);
  }
}

document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  hello(document.getElementById("name").value);
});

for (const name of query.getAll("name")) await hello(name);
document.body.dataset.done = "true";
