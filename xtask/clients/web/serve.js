// Builds the page from proto/greet.proto and serves it. Usage: node serve.js [HOST:PORT]
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;
const made = mkdtempSync(join(tmpdir(), "greet-web-"));
const template = JSON.stringify({
  version: "v2",
  plugins: [
    { local: join(here, "node_modules/.bin/protoc-gen-es"), out: made, opt: "target=js" },
  ],
});
const buf = join(here, "../node/node_modules/.bin/buf");
const proto = join(here, "../../../proto");
execFileSync(buf, ["generate", proto, "--template", template], { stdio: ["ignore", 2, 2] });
const bundle = await build({
  entryPoints: [join(here, "page.js")],
  alias: { greet: join(made, "greet_pb.js") },
  nodePaths: [join(here, "node_modules")],
  bundle: true,
  format: "esm",
  minify: true,
  write: false,
});
rmSync(made, { recursive: true });

const files = {
  "/": ["text/html; charset=utf-8", readFileSync(join(here, "index.html"))],
  "/page.js": ["text/javascript; charset=utf-8", bundle.outputFiles[0].contents],
};
const server = createServer((request, response) => {
  const [type, body] = files[new URL(request.url, "http://page").pathname] ?? [];
  response.writeHead(body ? 200 : 404, type ? { "content-type": type } : {});
  response.end(body);
});
const [host, port] = (process.argv[2] ?? "127.0.0.1:8080").split(":");
server.listen(port, host, () => {
  console.log(`listening on http://${host}:${server.address().port}`);
});
