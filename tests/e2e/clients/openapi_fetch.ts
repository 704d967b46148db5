// What an admin does, by openapi-fetch with the types of openapi-typescript; prints what was answered.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { env: Record<string, string> };

type Flag = components["schemas"]["FlagView"];
type Failure = components["schemas"]["ErrorView"];

const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();
const api = createClient<paths>({
  baseUrl: process.env.URL,
  headers: { Authorization: `Bearer ${process.env.TOKEN}` },
});
const FLAG = { params: { path: { flag_key: "typed" } } } as const;

function made<T>(answer: { data?: T; error?: Failure; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status} ${JSON.stringify(answer.error)}`);
  return answer.data;
}

function refused(answer: { error?: Failure; response: Response }): [number, string, Failure["details"]] {
  if (answer.error === undefined) throw new Error(`${answer.response.status} is no error`);
  return [answer.response.status, answer.error.error, answer.error.details];
}

async function pages(): Promise<number[]> {
  const sizes: number[] = [];
  let cursor: string | undefined;
  do {
    const page = made(await api.GET("/api/admin/schedules", { params: { query: { limit: 3, cursor } } }));
    sizes.push(page.schedules.length);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return sizes;
}

async function edit(etag: string) {
  return api.PATCH("/api/admin/flags/{flag_key}", {
    params: { ...FLAG.params, header: { "If-Match": etag } },
    body: { enabled: true, rolloutPercentage: 100 },
  });
}

async function plan(scheduledAt: string) {
  return api.POST("/api/admin/flags/{flag_key}/schedule", { ...FLAG, body: { scheduledAt, updates: { enabled: true } } });
}

async function cancel(id: string) {
  return api.DELETE("/api/admin/flags/{flag_key}/schedule/{schedule_id}", {
    params: { path: { flag_key: "typed", schedule_id: id } },
  });
}

async function main(): Promise<void> {
  const body = { key: "typed", enabled: false, rolloutPercentage: 0, description: "" };
  const flag: Flag = made(await api.POST("/api/admin/flags", { body }));
  const single = made(await plan(inDays(1)));
  const steps = [25, 50, 100].map((rolloutPercentage, n) => ({ scheduledAt: inDays(2 + n), updates: { rolloutPercentage } }));
  const bulk = made(await api.POST("/api/admin/flags/{flag_key}/schedule/bulk", { ...FLAG, body: { schedules: steps } }));
  const listed = made(await api.GET("/api/admin/flags/{flag_key}/schedule", FLAG));
  const sizes = await pages();
  const cancelled = made(await cancel(single.id));
  const read = await api.GET("/api/admin/flags/{flag_key}", FLAG);
  const etag = read.response.headers.get("ETag") ?? "";
  const edited: Flag = made(await edit(etag));
  const flags = made(await api.GET("/api/config/flags"));
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
    missing: refused(await api.GET("/api/admin/flags/{flag_key}", { params: { path: { flag_key: "none" } } })),
    exists: refused(await api.POST("/api/admin/flags", { body })),
    again: refused(await cancel(single.id)),
    evaluated: typeof flags["typed"],
  }));
}

void main();
