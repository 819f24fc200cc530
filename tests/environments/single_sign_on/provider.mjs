// An OpenID provider: `node provider.mjs MODULES PORT CLIENT_ID SECRET REDIRECT_URI`. POST /person says who sits at the
// browser: {"sub", "acr", "groups"}; who signs in is that person, without being asked.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, port, clientId, secret, redirectUri] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(createRequire(`${modules}/`).resolve("oidc-provider")));
let person = { sub: "nobody" };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: clientId, client_secret: secret, redirect_uris: [redirectUri], grant_types: ["authorization_code"] }],
  acrValues: ["urn:example:mfa"],
  claims: { openid: ["sub", "groups", "preferred_username"] },
  conformIdTokenClaims: false,
  cookies: { keys: ["of the tests"] },
  features: { devInteractions: { enabled: false } },
  pkce: { required: () => true },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, groups: person.groups, preferred_username: `${id}@example.org` }) }),
});

provider.use(async (ctx, next) => {
  if (ctx.path === "/person") {
    let text = "";
    for await (const part of ctx.req) text += part;
    person = JSON.parse(text);
    ctx.status = 204;
  } else if (ctx.path.startsWith("/interaction/")) {
    const { prompt, params, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
    let result;
    if (prompt.name === "login") {
      const ts = Math.floor(Date.now() / 1000) - (person.ago ?? 0);
      result = { login: { accountId: person.sub, acr: person.acr, ts } };
    } else {
      const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: person.sub, clientId: params.client_id });
      grant.addOIDCScope("openid");
      result = { consent: { grantId: await grant.save() } };
    }
    const to = await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
    ctx.redirect(to);
  } else {
    await next();
  }
});

provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
