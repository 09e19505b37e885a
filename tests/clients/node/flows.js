// openid-client through every flow that it knows, against the issuer given on the command line.
//
// It has no browser: it prints `OPEN <address>` and reads the address at which the person arrived from its
// standard input. Each finished flow is a line of JSON; the last line is {"flow":"end"}.

import { webcrypto } from 'node:crypto'
import readline from 'node:readline'

globalThis.crypto ??= webcrypto // Node 18 has it, and hides it
const client = await import('openid-client')

const [issuer, api, siteSecret, serviceSecret] = process.argv.slice(2)
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const redirect_uri = 'http://127.0.0.1:7777/callback'

const say = (flow, result) => console.log(JSON.stringify({ flow, ...result }))
const open = async (address) => {
  console.log(`OPEN ${address}`)
  return (await lines.next()).value
}
const discover = (id, secret, auth) =>
  client.discovery(new URL(issuer), id, secret ? { client_secret: secret } : undefined, auth, {
    algorithm: 'oauth2', // RFC 8414, and not OpenID Connect's address
    execute: [client.allowInsecureRequests], // loopback
  })
const call = (config, tokens) => client.fetchProtectedResource(config, tokens.access_token, new URL(`${api}/notes`), 'GET')

const refusal = async (promise) => {
  try {
    await promise
    return 'nothing was refused'
  } catch (error) {
    return error.error ?? error.code ?? error.message
  }
}

async function authorize(config, { pushed = false, scope = 'notes:read notes:write' } = {}) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const expectedState = client.randomState()
  const parameters = {
    redirect_uri,
    scope,
    state: expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  }
  const address = pushed
    ? await client.buildAuthorizationUrlWithPAR(config, parameters)
    : client.buildAuthorizationUrl(config, parameters)
  const arrived = new URL(await open(address.href))
  // It compares `state` and, as the metadata promise it, `iss`.
  const tokens = await client.authorizationCodeGrant(config, arrived, { pkceCodeVerifier, expectedState })
  return { tokens, address: address.href }
}

const web = await discover('web', undefined, client.None())
const site = await discover('site', siteSecret, client.ClientSecretBasic(siteSecret))
const service = await discover('service', serviceSecret, client.ClientSecretPost(serviceSecret))
const tv = await discover('tv', undefined, client.None())

// code + PKCE, public and confidential
for (const [name, config] of [['web', web], ['site', site]]) {
  const { tokens } = await authorize(config)
  const answer = await call(config, tokens)
  say(`code ${name}`, { scope: tokens.scope, type: tokens.token_type, status: answer.status, caller: await answer.json() })

  const again = await client.refreshTokenGrant(config, tokens.refresh_token)
  const less = await client.refreshTokenGrant(config, again.refresh_token, { scope: 'notes:read' })
  say(`refresh ${name}`, {
    rotated: again.refresh_token !== tokens.refresh_token,
    scope: again.scope,
    less: less.scope,
    status: (await call(config, less)).status,
  })
}

// PAR
{
  const { tokens, address } = await authorize(site, { pushed: true, scope: 'notes:read' })
  say('par', { scope: tokens.scope, parameters: [...new URL(address).searchParams.keys()].sort() })
}

// client credentials, introspection, revocation
{
  const tokens = await client.clientCredentialsGrant(service, { scope: 'notes:read' })
  const before = await client.tokenIntrospection(service, tokens.access_token)
  await client.tokenRevocation(service, tokens.access_token)
  const after = await client.tokenIntrospection(service, tokens.access_token)
  say('client credentials', { scope: tokens.scope, refresh: tokens.refresh_token ?? null })
  say('introspection', { before, after })
  say('revocation', { refused: await call(service, tokens).then((answer) => answer.status, (error) => error.status ?? error.cause?.status ?? 401) })
}

// device
{
  const begun = await client.initiateDeviceAuthorization(tv, { scope: 'notes:read' })
  await open(begun.verification_uri_complete)
  const tokens = await client.pollDeviceAuthorizationGrant(tv, begun)
  say('device', { scope: tokens.scope, status: (await call(tv, tokens)).status })
  await client.tokenRevocation(tv, tokens.refresh_token)
  say('device revoked', { error: await refusal(client.refreshTokenGrant(tv, tokens.refresh_token)) })
}

// what is refused is understood
{
  const wrong = await discover('service', 'x'.repeat(40), client.ClientSecretBasic('x'.repeat(40)))
  say('wrong secret', { error: await refusal(client.clientCredentialsGrant(wrong)) })
  say('unknown scope', { error: await refusal(client.clientCredentialsGrant(service, { scope: 'nothing:known' })) })
}

say('end', {})
process.exit(0)
