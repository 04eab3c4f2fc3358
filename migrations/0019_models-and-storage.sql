CREATE TABLE `keep_rule` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`user_id` integer NOT NULL,
	`rule` text NOT NULL,
	`active` integer DEFAULT false NOT NULL,
	`last_run_at` text,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `model_share` (
	`id` integer PRIMARY KEY NOT NULL,
	`model_id` integer NOT NULL,
	`alias` text,
	`version_id` integer,
	`token_hash` text NOT NULL,
	`label` text,
	`user_id` integer NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`expires_at` text NOT NULL,
	`revoked_at` text,
	`max_downloads` integer,
	`downloads` integer DEFAULT 0 NOT NULL,
	`last_download_at` text,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "model_share_target" CHECK(("model_share"."alias" is null) <> ("model_share"."version_id" is null))
);
--> statement-breakpoint
CREATE UNIQUE INDEX `model_share_tokenHash_unique` ON `model_share` (`token_hash`);--> statement-breakpoint
CREATE INDEX `model_share_model` ON `model_share` (`model_id`);--> statement-breakpoint
CREATE TABLE `storage_total` (
	`id` integer PRIMARY KEY NOT NULL,
	`objects` integer NOT NULL,
	`bytes` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `storage_use` (
	`user_id` integer NOT NULL,
	`experiment_group` text NOT NULL,
	`kind` text NOT NULL,
	`files` integer NOT NULL,
	`bytes` integer NOT NULL,
	`trash_files` integer NOT NULL,
	`trash_bytes` integer NOT NULL,
	PRIMARY KEY(`user_id`, `experiment_group`, `kind`)
);
--> statement-breakpoint
CREATE INDEX `weight_trash` ON `weight` (`deleted_at`) WHERE deleted_at is not null;