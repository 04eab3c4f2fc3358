/** Columns of a task that the filter language names, by what they hold; pages complete them too. */
export const numbers =
  "id user_id attempt version lora_rank lora_alpha dropout conv_lora_rank conv_alpha batch_size gradient_accumulation_steps epochs max_steps learning_rate seed save_every_n_epochs hourly_price cost final_loss convergence_step total_duration_sec exit_code parent_task_id".split(
    " ",
  );
export const texts =
  "task_name status model_type base_arch trainer network_algo experiment_group base_model_path optimizer scheduler mixed_precision resolution data_dir metadata_path output_dir log_dir sample_prompts caption_tag_delim gpu_info cuda_version git_commit failure_reason error_message weights_path import_source notes".split(
    " ",
  );
export const times = "created_at updated_at started_at finished_at heartbeat_at deleted_at".split(
  " ",
);
