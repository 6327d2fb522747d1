/** SQL of the buckets that all processes share. */
import { type Sql, statement } from "../storage/index.ts";

export type Asking = {
  readonly organization: string;
  /** A token's uuid, or the organization's own. */
  readonly subject: string;
  readonly perMinute: number;
  /** Requests that passed already; negative for granted ones that come back. */
  readonly debt: number;
  readonly asked: number;
};
export type Answer = { organization_id: string; subject_id: string; granted: number; level: number };

// A bucket holds a minute's requests and fills evenly. In one order, so that two processes never wait for each other
// in a circle. The greatest keeps time from going back where two transactions began in another order than they write.
const take = statement(
  "limits.take",
  `insert into rate_buckets as b (organization_id, subject_id, level, granted)
   select o, s, least(l, l - d) - given, given
     from unnest($1::uuid[], $2::uuid[], $3::float8[], $4::float8[], $5::float8[]) as ask(o, s, l, d, a)
    cross join lateral (select least(a, greatest(0, floor(least(l, l - d)))) as given) fresh
    order by o, s
   on conflict (organization_id, subject_id) do update
     set (level, granted, filled_at) = (
       select held - given, given, greatest(b.filled_at, now())
         from (select ask.a, least(ask.l,
                        least(ask.l, b.level + ask.l / 60 * greatest(0, extract(epoch from now() - b.filled_at))) - ask.d)
                        as held
                 from unnest($1::uuid[], $2::uuid[], $3::float8[], $4::float8[], $5::float8[]) as ask(o, s, l, d, a)
                where ask.o = excluded.organization_id and ask.s = excluded.subject_id) filled
         cross join lateral (select least(filled.a, greatest(0, floor(filled.held))) as given) grant_
       )
   returning organization_id, subject_id, granted, level`,
);
/** Takes from many buckets at once; each subject is named once. */
export function takeRequests(sql: Sql, asked: readonly Asking[]): Promise<Answer[]> {
  return sql.rows<Answer>(take, [
    asked.map(({ organization }) => organization),
    asked.map(({ subject }) => subject),
    asked.map(({ perMinute }) => perMinute),
    asked.map(({ debt }) => debt),
    asked.map(({ asked: number }) => number),
  ]);
}

const sweep = statement("limits.sweep", "delete from rate_buckets where filled_at < now() - interval '5 minutes'");
/** Forgets buckets that are full again. */
export const sweepBuckets = (sql: Sql): Promise<number> => sql.run(sweep);
