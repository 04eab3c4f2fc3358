CREATE TABLE `job_fault` (
	`job` text NOT NULL,
	`subject_id` integer NOT NULL,
	`failures` integer NOT NULL,
	`error` text NOT NULL,
	`retry_at` text NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	PRIMARY KEY(`job`, `subject_id`)
);
--> statement-breakpoint
ALTER TABLE `task_config` ADD `secrets` text;--> statement-breakpoint
ALTER TABLE `weight` ADD `key_id` integer;