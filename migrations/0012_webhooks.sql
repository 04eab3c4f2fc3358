CREATE TABLE `alert_cursor` (
	`id` integer PRIMARY KEY NOT NULL,
	`event_id` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `delivery` (
	`id` integer PRIMARY KEY NOT NULL,
	`event_id` integer NOT NULL,
	`webhook_id` integer NOT NULL,
	`state` text DEFAULT 'waiting' NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`next_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`delivered_at` text,
	`status` integer,
	`error` text,
	FOREIGN KEY (`event_id`) REFERENCES `event`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`webhook_id`) REFERENCES `webhook`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "delivery_state" CHECK("delivery"."state" = 'waiting' or "delivery"."state" = 'delivered' or "delivery"."state" = 'dead')
);
--> statement-breakpoint
CREATE UNIQUE INDEX `delivery_once` ON `delivery` (`event_id`,`webhook_id`);--> statement-breakpoint
CREATE INDEX `delivery_webhook` ON `delivery` (`webhook_id`);--> statement-breakpoint
CREATE INDEX `delivery_due` ON `delivery` (`next_at`) WHERE state = 'waiting';--> statement-breakpoint
CREATE TABLE `webhook` (
	`id` integer PRIMARY KEY NOT NULL,
	`user_id` integer NOT NULL,
	`name` text NOT NULL,
	`target` text NOT NULL,
	`url` text NOT NULL,
	`secret` text,
	`kinds` text,
	`groups` text,
	`users` text,
	`mutes` text DEFAULT '[]' NOT NULL,
	`active` integer DEFAULT true NOT NULL,
	`version` integer DEFAULT 1 NOT NULL,
	`created_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`updated_at` text DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')) NOT NULL,
	`deleted_at` text,
	FOREIGN KEY (`user_id`) REFERENCES `user`(`id`) ON UPDATE no action ON DELETE no action,
	CONSTRAINT "webhook_target" CHECK("webhook"."target" = 'generic' or "webhook"."target" = 'slack' or "webhook"."target" = 'discord' or "webhook"."target" = 'feishu' or "webhook"."target" = 'dingtalk' or "webhook"."target" = 'wecom')
);
--> statement-breakpoint
CREATE INDEX `webhook_user` ON `webhook` (`user_id`) WHERE deleted_at is null;