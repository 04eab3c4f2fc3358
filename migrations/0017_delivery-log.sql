ALTER TABLE `delivery` ADD `user_id` integer;--> statement-breakpoint
CREATE INDEX `delivery_user` ON `delivery` (`user_id`);--> statement-breakpoint
CREATE INDEX `delivery_open` ON `delivery` (`id`) WHERE state <> 'delivered';