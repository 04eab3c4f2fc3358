CREATE TABLE `event` (
	`id` integer PRIMARY KEY NOT NULL,
	`uid` text DEFAULT (lower(hex(randomblob(16)))) NOT NULL,
	`kind` text NOT NULL,
	`subject` text NOT NULL,
	`subject_id` integer NOT NULL,
	`attempt` integer DEFAULT 0 NOT NULL,
	`occasion` text DEFAULT '' NOT NULL,
	`user_id` integer,
	`experiment_group` text,
	`name` text NOT NULL,
	`detail` text,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `event_fact` ON `event` (`subject`,`subject_id`,`attempt`,`kind`,`occasion`);--> statement-breakpoint
ALTER TABLE `training_task` ADD `watch` text;--> statement-breakpoint
CREATE INDEX `training_task_best` ON `training_task` (`experiment_group`,`final_loss`) WHERE status = 'success' and final_loss is not null and experiment_group is not null and deleted_at is null;