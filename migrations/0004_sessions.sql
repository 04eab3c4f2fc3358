CREATE TABLE `session` (
	`id` text PRIMARY KEY NOT NULL,
	`key_id` integer NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`ends_at` text NOT NULL,
	`ended_at` text,
	FOREIGN KEY (`key_id`) REFERENCES `api_key`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `session_key` ON `session` (`key_id`);