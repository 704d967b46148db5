// What two OpenFeature clients see of flagsched, printed as JSON:
//     node clients.mjs ADDRESS server
//     node clients.mjs ADDRESS web FLAG UNTIL
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { OpenFeature as Server } from '@openfeature/server-sdk';
import { OpenFeature as Web, ProviderEvents } from '@openfeature/web-sdk';

const [baseUrl, side, flag, until] = process.argv.slice(2);
const POLL_MS = 20;

function short({ value, reason, variant, errorCode }) {
  return [value, reason, variant ?? null, errorCode ?? null];
}

async function seenByAServer() {
  await Server.setProviderAndWait(new OFREPProvider({ baseUrl }));
  const client = Server.getClient();
  const ask = async (key, context) => short(await client.getBooleanDetails(key, false, context));
  const ada = { targetingKey: 'ada' };
  const seen = {
    steady: await ask('steady', ada),
    dark: await ask('dark', ada),
    included: await ask('nobody', ada),
    nobody: await ask('nobody', { targetingKey: 'bob' }),
    missing: await ask('none', ada),
    keyless: await ask('some', {}),
    inside: [],
  };
  for (let n = 0; n < 200; n += 1) {
    const targetingKey = `user-${n}`;
    if (await client.getBooleanValue('some', false, { targetingKey })) seen.inside.push(targetingKey);
  }
  await Server.close();
  return seen;
}

async function seenByABrowser() {
  const statuses = [];
  const changes = [];
  const send = globalThis.fetch;
  globalThis.fetch = async (...request) => {
    const answer = await send(...request);
    statuses.push(answer.status);
    return answer;
  };
  await Web.setContext({ targetingKey: 'ada' });
  await Web.setProviderAndWait(new OFREPWebProvider({ baseUrl, pollInterval: POLL_MS, cacheMode: 'disabled' }));
  const client = Web.getClient();
  const first = short(client.getBooleanDetails(flag, false));
  client.addHandler(ProviderEvents.ConfigurationChanged, ({ flagsChanged }) =>
    changes.push({ at: Date.now(), flagsChanged, value: client.getBooleanValue(flag, false) }),
  );
  await new Promise((resolve) => setTimeout(resolve, until * 1000 - Date.now()));
  const last = short(client.getBooleanDetails(flag, false));
  const missing = short(client.getBooleanDetails('none', false));
  await Web.close();
  return { first, last, missing, changes, statuses };
}

console.log(JSON.stringify(await { server: seenByAServer, web: seenByABrowser }[side]()));
