CREATE TABLE `purged_task` (
	`task_id` integer PRIMARY KEY NOT NULL
);
--> statement-breakpoint
ALTER TABLE `training_task` ADD `trash_since` text;--> statement-breakpoint
CREATE INDEX `training_task_purge` ON `training_task` (case when trash_since > deleted_at then trash_since else deleted_at end) WHERE deleted_at is not null;--> statement-breakpoint
CREATE INDEX `training_task_parent` ON `training_task` (`parent_task_id`) WHERE parent_task_id is not null;