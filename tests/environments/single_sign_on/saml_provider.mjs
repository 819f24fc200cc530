// A SAML provider: `node saml_provider.mjs MODULES PORT KEY CERTIFICATE`. POST /person says who sits at the browser:
// {"sub", "acr", "groups", "email"} and, as `options`, what the package samlp is to do otherwise. Who signs in is that
// person, without being asked.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const [modules, port, key, certificate] = process.argv.slice(2);
const samlp = createRequire(`${modules}/`)("samlp");
const issuer = `http://localhost:${port}/saml`;
let person = { sub: "nobody" };

function profileMapper(user) {
  return {
    getClaims: () => ({ groups: user.groups, email: user.email ?? `${user.sub}@example.org`, uid: user.uid }),
    getNameIdentifier: () => ({ nameIdentifier: user.sub }),
  };
}

createServer(async (req, res) => {
  const url = new URL(req.url, issuer);
  if (req.method === "POST") {
    let text = "";
    for await (const part of req) text += part;
    person = JSON.parse(text);
    res.writeHead(204).end();
    return;
  }
  req.query = Object.fromEntries(url.searchParams);
  res.set = (name, value) => res.setHeader(name, value);
  res.send = (body) => res.end(String(body));
  const options = {
    issuer,
    key: readFileSync(key),
    cert: readFileSync(certificate),
    profileMapper,
    nameIdentifierFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    authnContextClassRef: person.acr,
    lifetimeInSeconds: 300,
    getUserFromRequest: () => person,
    RelayState: "https://elsewhere.example/",
  };
  samlp.parseRequest(req, (fault, asked) => {
    if (fault || !asked) {
      res.writeHead(400).end(String(fault));
      return;
    }
    const back = asked.assertionConsumerServiceURL;
    Object.assign(options, { recipient: back, destination: back, getPostURL: (_a, _d, _r, done) => done(null, back) });
    samlp.auth({ ...options, ...person.options })(req, res, (why) => res.writeHead(500).end(String(why)));
  });
}).listen(Number(port), "localhost", () => console.log("ready"));
