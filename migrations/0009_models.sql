CREATE TABLE `model` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`name_key` text NOT NULL,
	`description` text,
	`task_type` text,
	`license` text,
	`tags` text,
	`checks` text NOT NULL,
	`protected_aliases` text NOT NULL,
	`user_id` integer NOT NULL,
	`version` integer DEFAULT 1 NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `model_nameKey_unique` ON `model` (`name_key`);--> statement-breakpoint
CREATE TABLE `model_alias` (
	`model_id` integer NOT NULL,
	`alias` text NOT NULL,
	`version_id` integer NOT NULL,
	`move_id` integer NOT NULL,
	`moved_at` text NOT NULL,
	PRIMARY KEY(`model_id`, `alias`)
);
--> statement-breakpoint
CREATE INDEX `model_alias_version` ON `model_alias` (`version_id`);--> statement-breakpoint
CREATE TABLE `model_alias_move` (
	`id` integer PRIMARY KEY NOT NULL,
	`model_id` integer NOT NULL,
	`alias` text NOT NULL,
	`from_version_id` integer,
	`version_id` integer,
	`rollback` integer DEFAULT false NOT NULL,
	`user_id` integer NOT NULL,
	`reason` text,
	`at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL
);
--> statement-breakpoint
CREATE INDEX `model_alias_move_alias` ON `model_alias_move` (`model_id`,`alias`,`id`);--> statement-breakpoint
CREATE TABLE `model_review` (
	`version_id` integer PRIMARY KEY NOT NULL,
	`decision` text NOT NULL,
	`user_id` integer NOT NULL,
	`key_id` integer NOT NULL,
	`reason` text,
	`evidence` text NOT NULL,
	`at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	FOREIGN KEY (`version_id`) REFERENCES `model_version`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "model_review_decision" CHECK("model_review"."decision" = 'approved' or "model_review"."decision" = 'rejected')
);
--> statement-breakpoint
CREATE TABLE `model_version` (
	`id` integer PRIMARY KEY NOT NULL,
	`model_id` integer NOT NULL,
	`number` integer NOT NULL,
	`state` text DEFAULT 'draft' NOT NULL,
	`weight_id` integer NOT NULL,
	`task_id` integer NOT NULL,
	`object_id` integer NOT NULL,
	`filename` text NOT NULL,
	`size` integer NOT NULL,
	`sha256` text NOT NULL,
	`notes` text,
	`license` text,
	`user_id` integer NOT NULL,
	`submitted_by` integer,
	`submitted_at` text,
	`approved_at` text,
	`released_at` text,
	`version` integer DEFAULT 1 NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	FOREIGN KEY (`model_id`) REFERENCES `model`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "model_version_state" CHECK("model_version"."state" = 'draft' or "model_version"."state" = 'in_review' or "model_version"."state" = 'approved' or "model_version"."state" = 'rejected' or "model_version"."state" = 'released' or "model_version"."state" = 'retired')
);
--> statement-breakpoint
CREATE UNIQUE INDEX `model_version_number` ON `model_version` (`model_id`,`number`);--> statement-breakpoint
CREATE UNIQUE INDEX `model_version_weight_once` ON `model_version` (`model_id`,`weight_id`) WHERE state <> 'rejected' and state <> 'retired';--> statement-breakpoint
CREATE INDEX `model_version_weight` ON `model_version` (`weight_id`);--> statement-breakpoint
CREATE INDEX `model_version_task` ON `model_version` (`task_id`);--> statement-breakpoint
CREATE INDEX `model_version_object` ON `model_version` (`object_id`);--> statement-breakpoint
CREATE INDEX `model_version_review` ON `model_version` (`id`) WHERE state = 'in_review';--> statement-breakpoint
CREATE TABLE `review_sample` (
	`version_id` integer NOT NULL,
	`weight_id` integer NOT NULL,
	`object_id` integer NOT NULL,
	PRIMARY KEY(`version_id`, `weight_id`)
);
--> statement-breakpoint
CREATE INDEX `review_sample_weight` ON `review_sample` (`weight_id`);--> statement-breakpoint
CREATE INDEX `review_sample_object` ON `review_sample` (`object_id`);