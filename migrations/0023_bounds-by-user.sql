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
CREATE TABLE `model_checks_change` (
	`id` integer PRIMARY KEY NOT NULL,
	`model_id` integer NOT NULL,
	`user_id` integer NOT NULL,
	`before` text NOT NULL,
	`after` text NOT NULL,
	`at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL
);
--> statement-breakpoint
CREATE INDEX `model_checks_change_model` ON `model_checks_change` (`model_id`);--> statement-breakpoint
ALTER TABLE `api_key` ADD `parent_id` integer;--> statement-breakpoint
CREATE INDEX `api_key_parent` ON `api_key` (`parent_id`) WHERE parent_id is not null;--> statement-breakpoint
ALTER TABLE `box_enrolment` ADD `key_id` integer;--> statement-breakpoint
ALTER TABLE `model_version` ADD `submitted_checks` text;--> statement-breakpoint
ALTER TABLE `task_config` ADD `secrets` text;--> statement-breakpoint
ALTER TABLE `weight` ADD `key_id` integer;