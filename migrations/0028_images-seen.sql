ALTER TABLE `training_task` ADD `images_seen` real GENERATED ALWAYS AS (case
  when model_type = 'stable-diffusion' and coalesce(watch ->> 'reached', watch ->> 'step', progress ->> 'step') between 0 and 9007199254740991
  then coalesce(watch ->> 'reached', watch ->> 'step', progress ->> 'step') * 1.0 * batch_size * case
    when trainer = 'onetrainer' then 1
    when trainer = 'ai-toolkit' and gradient_accumulation_steps > 1 then null
    else gradient_accumulation_steps
  end
end) VIRTUAL;--> statement-breakpoint
-- Runs that no heartbeat has watched, such as imported ones, have the step that their points reach.
UPDATE training_task SET watch = (
  SELECT json_object('attempt', a.attempt, 'reached', a.last_step) FROM task_attempt a
  WHERE a.task_id = training_task.id AND a.last_step IS NOT NULL ORDER BY a.attempt DESC LIMIT 1)
WHERE watch IS NULL AND EXISTS (SELECT 1 FROM task_attempt a WHERE a.task_id = training_task.id AND a.last_step IS NOT NULL);
