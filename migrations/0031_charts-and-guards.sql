CREATE TABLE `preference` (
	`user_id` integer NOT NULL,
	`name` text NOT NULL,
	`value` text NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	PRIMARY KEY(`user_id`, `name`),
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
ALTER TABLE `metric_summary` ADD `best` real;--> statement-breakpoint
ALTER TABLE `metric_summary` ADD `best_step` integer;--> statement-breakpoint
CREATE INDEX `metric_summary_best` ON `metric_summary` (`metric`,`best`);--> statement-breakpoint
ALTER TABLE `training_task` ADD `guard` text;