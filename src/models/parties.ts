import { sql } from "drizzle-orm";

/**
 * Ids and names of those who have a part in the version `v`, and so do not decide on it: who made and
 * submitted it, whose run it is, and whose keys ran an attempt or announced the file. The owner of a
 * box that is shared only lends the machine.
 */
export const parties = sql`
  select u.id, u.name from user u where u.id in (
    select v.user_id
    union select v.submitted_by
    union select r.user_id from training_task r where r.id = v.task_id
    union select k.user_id from api_key k
      where k.id in (
        select a.key_id from task_attempt a where a.task_id = v.task_id
        union select f.key_id from weight f where f.id = v.weight_id)
      and not exists (select 1 from box b where b.key_id = k.id and b.shared))`;

const MOST_CHANGES = 20;

/** Changes to the checks of the model of `v` since another of its versions was approved, newest first. */
export const checksChanges = sql`
  select c.at, (select name from user where id = c.user_id) as by, c.before, c.after
  from model_checks_change c
  where c.model_id = v.model_id and c.at > coalesce(
    (select max(p.approved_at) from model_version p where p.model_id = v.model_id and p.id <> v.id), '')
  order by c.id desc limit ${sql.raw(String(MOST_CHANGES))}`;
