// Write src/api/generated/<service>.ts from each OpenAPI file in docs/generated. The types follow the files, so a route
// that a page uses and a service no longer has fails the build.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";

const FROM = new URL("../../docs/generated/", import.meta.url);
const TO = new URL("../src/api/generated/", import.meta.url);

await mkdir(TO, { recursive: true });
const files = (await readdir(FROM)).filter((name) => name.endsWith("-service.openapi.json")).sort();
const written = new Set();
for (const file of files) {
  const name = file.replace(".openapi.json", ".ts");
  written.add(name);
  const source = await readFile(new URL(file, FROM), "utf8");
  const first = `// Generated from docs/generated/${file} (${createHash("sha256").update(source).digest("hex")}).\n`;
  // The library takes a second of processor time to load, so a file that is up to date is left alone.
  const old = await readFile(new URL(name, TO), "utf8").catch(() => "");
  if (old.startsWith(first)) continue;
  const { default: openapiTS, astToString } = await import("openapi-typescript");
  await writeFile(new URL(name, TO), first + astToString(await openapiTS(source, { alphabetize: true })));
}
for (const name of await readdir(TO)) if (!written.has(name)) await rm(new URL(name, TO));
