CREATE TABLE `dialect` (
	`id` integer PRIMARY KEY NOT NULL,
	`user_id` integer NOT NULL,
	`name` text NOT NULL,
	`text` text NOT NULL,
	`shared` integer DEFAULT false NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `dialect_name` ON `dialect` (`user_id`,`name`);--> statement-breakpoint
CREATE INDEX `dialect_shared` ON `dialect` (`id`) WHERE shared;--> statement-breakpoint
ALTER TABLE `task_config` ADD `sources` text;--> statement-breakpoint
ALTER TABLE `task_config` ADD `dialect` text;