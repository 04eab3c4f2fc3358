CREATE TABLE `audit_export` (
	`id` integer PRIMARY KEY NOT NULL,
	`first_id` integer NOT NULL,
	`last_id` integer NOT NULL,
	`first_at` text NOT NULL,
	`last_at` text NOT NULL,
	`entries` integer NOT NULL,
	`object_key` text NOT NULL,
	`size` integer NOT NULL,
	`sha256` text NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `audit_export_lastId_unique` ON `audit_export` (`last_id`);--> statement-breakpoint
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
CREATE TABLE `purge_place` (
	`id` integer PRIMARY KEY NOT NULL,
	`place` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `sign_in_link` (
	`code_hash` text PRIMARY KEY NOT NULL,
	`key_id` integer NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`expires_at` text NOT NULL,
	`used_at` text,
	FOREIGN KEY (`key_id`) REFERENCES `api_key`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `user_use` (
	`user_id` integer PRIMARY KEY NOT NULL,
	`tasks` integer DEFAULT 0 NOT NULL,
	`bytes` integer DEFAULT 0 NOT NULL,
	`files` integer DEFAULT 0 NOT NULL,
	`file_bytes` integer DEFAULT 0 NOT NULL,
	`uploads` integer DEFAULT 0 NOT NULL,
	`upload_bytes` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
PRAGMA foreign_keys=OFF;--> statement-breakpoint
CREATE TABLE `__new_task_dataset` (
	`task_id` integer NOT NULL,
	`dataset_id` integer NOT NULL,
	`name` text NOT NULL,
	`source_path` text,
	`repeats` integer,
	PRIMARY KEY(`task_id`, `dataset_id`, `name`)
) WITHOUT ROWID;
--> statement-breakpoint
INSERT INTO `__new_task_dataset`("task_id", "dataset_id", "name", "source_path", "repeats") SELECT "task_id", "dataset_id", "name", "source_path", "repeats" FROM `task_dataset`;--> statement-breakpoint
DROP TABLE `task_dataset`;--> statement-breakpoint
ALTER TABLE `__new_task_dataset` RENAME TO `task_dataset`;--> statement-breakpoint
PRAGMA foreign_keys=ON;--> statement-breakpoint
ALTER TABLE `api_key` ADD `parent_id` integer;--> statement-breakpoint
CREATE INDEX `api_key_parent` ON `api_key` (`parent_id`) WHERE parent_id is not null;--> statement-breakpoint
CREATE INDEX `api_key_live` ON `api_key` (`user_id`,`expires_at`) WHERE revoked_at is null;--> statement-breakpoint
ALTER TABLE `box_enrolment` ADD `key_id` integer;--> statement-breakpoint
CREATE INDEX `box_enrolment_user` ON `box_enrolment` (`user_id`,`expires_at`);--> statement-breakpoint
ALTER TABLE `dataset` ADD `links` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `dataset_unused` ON `dataset` (`created_at`) WHERE links <= 0;--> statement-breakpoint
ALTER TABLE `delivery` ADD `bundle_id` integer;--> statement-breakpoint
CREATE INDEX `delivery_hour` ON `delivery` (`webhook_id`,`created_at`) WHERE bundle_id is null;--> statement-breakpoint
CREATE INDEX `delivery_bundle` ON `delivery` (`bundle_id`) WHERE bundle_id is not null;--> statement-breakpoint
CREATE INDEX `delivery_head` ON `delivery` (`webhook_id`) WHERE bundle_id = id and state = 'waiting';--> statement-breakpoint
ALTER TABLE `model_version` ADD `submitted_checks` text;--> statement-breakpoint
ALTER TABLE `stored_object` ADD `user_id` integer;--> statement-breakpoint
ALTER TABLE `task_attempt` ADD `user_id` integer;--> statement-breakpoint
ALTER TABLE `task_config` ADD `secrets` text;--> statement-breakpoint
ALTER TABLE `training_task` ADD `record_bytes` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `weight` ADD `key_id` integer;--> statement-breakpoint
CREATE INDEX `keep_rule_user` ON `keep_rule` (`user_id`);--> statement-breakpoint
CREATE INDEX `model_user` ON `model` (`user_id`);--> statement-breakpoint
CREATE INDEX `session_end` ON `session` (`ends_at`);--> statement-breakpoint
CREATE INDEX `webhook_gone` ON `webhook` (`deleted_at`) WHERE deleted_at is not null;