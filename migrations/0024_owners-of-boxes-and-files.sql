-- Which key announced each file, as the audit has it: a box gets the files that keys of its own user
-- announced, and resumes from older files only where that is known.
UPDATE weight SET key_id = (
  SELECT e.key_id FROM audit_entry e
  WHERE e.subject = 'weight' AND e.subject_id = weight.id AND e.action = 'weight.announce'
  ORDER BY e.id LIMIT 1);
--> statement-breakpoint
-- Only admins let boxes run everyone's tasks. Those of others are their owner's for good, also when
-- that user becomes an admin later.
UPDATE box SET shared = 0 WHERE shared AND user_id IN (SELECT id FROM user WHERE role <> 'admin');
--> statement-breakpoint
UPDATE box_enrolment SET shared = 0 WHERE shared AND user_id IN (SELECT id FROM user WHERE role <> 'admin');
