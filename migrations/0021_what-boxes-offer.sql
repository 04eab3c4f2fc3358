ALTER TABLE `box` ADD `labels` text;--> statement-breakpoint
ALTER TABLE `box` ADD `gpu_memory_gb` real;--> statement-breakpoint
ALTER TABLE `task_attempt` ADD `agent` text;--> statement-breakpoint
CREATE INDEX `task_attempt_box` ON `task_attempt` (`key_id`,`started_at`) WHERE agent is not null;--> statement-breakpoint
CREATE INDEX `training_task_queued_group` ON `training_task` (`experiment_group`) WHERE priority is not null and deleted_at is null;