// What an admin does, by the client of @hey-api/openapi-ts; prints what was answered.
import { client } from "./hey_api_client/client.gen";
import * as api from "./hey_api_client/sdk.gen";
import type { ErrorView, FlagView } from "./hey_api_client/types.gen";

declare const process: { env: Record<string, string> };

const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();
const path = { flag_key: "typed" };

function made<T>(answer: { data?: T; error?: ErrorView; response?: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response?.status} ${JSON.stringify(answer.error)}`);
  return answer.data;
}

function refused(answer: { error?: ErrorView; response?: Response }): [number, string, ErrorView["details"]] {
  if (answer.error === undefined || answer.response === undefined) throw new Error("no error");
  return [answer.response.status, answer.error.error, answer.error.details];
}

async function pages(): Promise<number[]> {
  const sizes: number[] = [];
  let cursor: string | undefined;
  do {
    const page = made(await api.listAllSchedules({ query: { limit: 3, cursor } }));
    sizes.push(page.schedules.length);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return sizes;
}

const edit = (etag: string) =>
  api.editFlag({ path, headers: { "If-Match": etag }, body: { enabled: true, rolloutPercentage: 100 } });
const plan = (scheduledAt: string) => api.createSchedule({ path, body: { scheduledAt, updates: { enabled: true } } });
const cancel = (id: string) => api.cancelSchedule({ path: { ...path, schedule_id: id } });

async function main(): Promise<void> {
  client.setConfig({ baseUrl: process.env.URL, auth: process.env.TOKEN });
  const body = { key: "typed", enabled: false, rolloutPercentage: 0, description: "" };
  const flag: FlagView = made(await api.createFlag({ body }));
  const single = made(await plan(inDays(1)));
  const steps = [25, 50, 100].map((rolloutPercentage, n) => ({ scheduledAt: inDays(2 + n), updates: { rolloutPercentage } }));
  const bulk = made(await api.createSchedules({ path, body: { schedules: steps } }));
  const listed = made(await api.listSchedules({ path }));
  const sizes = await pages();
  const cancelled = made(await cancel(single.id));
  const read = await api.readFlag({ path });
  const etag = read.response?.headers.get("ETag") ?? "";
  const edited: FlagView = made(await edit(etag));
  const flags = made(await api.evaluateFlags());
  console.log(JSON.stringify({
    created: [flag.enabled, flag.rolloutPercentage, flag.version],
    planned: [single.status, single.batchId],
    bulk: bulk.schedules.map((schedule) => schedule.updates?.rolloutPercentage),
    listed: listed.length,
    pages: sizes,
    cancelled: cancelled.status,
    edited: [edited.enabled, edited.rolloutPercentage, edited.version],
    stale: refused(await edit(etag)),
    past: refused(await plan("2020-01-01T00:00:00Z")),
    missing: refused(await api.readFlag({ path: { flag_key: "none" } })),
    exists: refused(await api.createFlag({ body })),
    again: refused(await cancel(single.id)),
    evaluated: typeof flags["typed"],
  }));
}

void main();
