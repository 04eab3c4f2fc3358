ALTER TABLE `log_chunk` ADD `form` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `log_chunk_old` ON `log_chunk` (`task_id`,`attempt`,`chunk`) WHERE form = 0;--> statement-breakpoint
ALTER TABLE `training_task` ADD `best_loss` real;--> statement-breakpoint
ALTER TABLE `training_task` ADD `best_step` integer;--> statement-breakpoint
ALTER TABLE `training_task` ADD `nonfinite_from_step` integer;--> statement-breakpoint
-- What an older release began takes nothing more in: runs under way begin a chunk of today's form.
UPDATE `task_attempt` SET `open_chunk` = 0, `open_count` = 0, `open_size` = 0 WHERE `status` = 'running' AND `open_chunk` > 0;
