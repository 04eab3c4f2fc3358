/**
 * Every code of a problem that the service answers with (RFC 9457): its status, its parameters in braces,
 * and its sentence in English and Chinese. The service fills in the English one; the pages say the other by
 * the `code` and `params` that a problem's body carries. A code with several sentences tells them apart by
 * the parameter `case`.
 */

import type { ParamValue } from "./sentence.ts";

type Status =
  | (400 | 401 | 403 | 404 | 405 | 409 | 410 | 411 | 412 | 413 | 415 | 416)
  | (414 | 422 | 429 | 431 | 500 | 503);

type Sentence = readonly [english: string, chinese: string];

const one = <const Says extends Sentence>(status: Status, ...says: Says) => ({ status, says });

const several = <const Cases extends Record<string, Sentence>>(status: Status, cases: Cases) => ({
  status,
  cases,
});

export const problems = {
  "alias-on-unapproved": one(
    409,
    "A version that is not approved carries {alias}: move or remove that alias before you protect it.",
    "未获批准的版本带有别名 {alias}：请先移动或移除该别名，再将其设为受保护。",
  ),
  "already-a-version": one(
    409,
    "Weight {weight} is version {version} of {model} already.",
    "文件 {weight} 已是模型 {model} 的版本 {version}。",
  ),
  "already-announced": one(
    409,
    "Another user's key announced {filename} of attempt {attempt} before this box did, so this box cannot upload it under that name.",
    "另一用户的密钥已先声明第 {attempt} 次尝试的 {filename}，因此这台机器不能以该名称上传。",
  ),
  "already-finished": several(409, {
    cancel: [
      "Task {task} has ended as {status} already, so there is nothing to cancel.",
      "训练 {task} 已经结束（{status}），无需取消。",
    ],
    finish: [
      "Task {task} has ended as {status} already, so it cannot end as {wanted}. To try again, open a new attempt.",
      "训练 {task} 已经结束（{status}），不能再以{wanted}结束。要重试，请开始新的尝试。",
    ],
    success: [
      "Task {task} has ended in success already, so it cannot end as {wanted}. To train on, register a run with parent_task_id {task}.",
      "训练 {task} 已成功结束，不能再以{wanted}结束。要接着训练，请登记一个 parent_task_id 为 {task} 的新训练。",
    ],
  }),
  "already-uploaded-again": one(
    409,
    "{filename} was uploaded to this run again in the meantime, so there is nothing to restore.",
    "{filename} 其间已重新上传到此训练，无需恢复。",
  ),
  "attempt-not-allowed": several(409, {
    queued: [
      "Task {task} was given back to the queue: the box that claims it opens its next attempt.",
      "训练 {task} 已交回队列：由领取它的机器开始下一次尝试。",
    ],
    cancelled: [
      "Task {task} was cancelled, so a box key cannot open an attempt of it. Its owner can put it back: POST /api/tasks/{task}/retry or /requeue.",
      "训练 {task} 已取消，机器的密钥不能再开始尝试。由其所有者放回：POST /api/tasks/{task}/retry 或 /requeue。",
    ],
  }),
  "attempt-not-open": one(
    409,
    "Attempt {attempt} of this task was not opened: the current one is {current}.",
    "该训练的第 {attempt} 次尝试尚未开始：当前是第 {current} 次。",
  ),
  "attempt-unknown": one(
    409,
    "Task {task} is at attempt {current}; attempt {attempt} was never opened.",
    "训练 {task} 当前是第 {current} 次尝试；第 {attempt} 次从未开始。",
  ),
  "bad-request": one(400, "The service cannot read this HTTP request.", "无法读取这个 HTTP 请求。"),
  busy: several(503, {
    points: [
      "Other points of this attempt came at the same time. Send these again.",
      "同一次尝试的其他数据点同时到达，请重新发送。",
    ],
    heartbeats: [
      "Other heartbeats of this attempt came at the same time. Send it again.",
      "同一次尝试的其他心跳同时到达，请重新发送。",
    ],
  }),
  changed: one(412, "The file is not the one that was expected.", "文件与预期的不同。"),
  "changed-meanwhile": one(
    412,
    "Someone else changed this first: its version is {version} now. Read it again, then repeat your change.",
    "别人先作了改动（现在是版本 {version}）。请重新载入后再改。",
  ),
  "checks-fail": one(
    409,
    "This version does not pass its checks yet: {faults}.",
    "该版本尚未通过检查：{faults}。",
  ),
  conflict: several(409, {
    user: ["The user changed in the meantime; try again.", "该用户其间有改动，请重试。"],
    role: [
      "The user's role changed in the meantime; try again.",
      "该用户的角色其间有改动，请重试。",
    ],
    room: ["There was no room for it a moment ago; try again.", "刚才已达上限，请重试。"],
    trash: [
      "Task {task} is in the trash: restore it to log to it.",
      "训练 {task} 在回收站中：请先恢复，再向其记录。",
    ],
    task: [
      "Task {task} is {status}, attempt {attempt}.",
      "训练 {task} 为{status}，第 {attempt} 次尝试。",
    ],
  }),
  "cross-site": one(
    403,
    "A page of another site cannot change anything with this session. Programs send a key: `Authorization: Bearer <key>`.",
    "不接受来自其他网站页面的改动。程序请发送密钥：`Authorization: Bearer <key>`。",
  ),
  "database-unreachable": one(
    503,
    "The database cannot be reached at the moment. Nothing was lost; try again in a few seconds.",
    "暂时无法连接数据库，没有数据丢失，请几秒后重试。",
  ),
  exists: one(412, "The file exists already: complete the upload.", "文件已在那里：请完成上传。"),
  "file-gone": one(
    409,
    "The bytes of {filename} are no longer in the storage. Upload the file to its run again and make a new version of it.",
    "{filename} 的内容已不在存储中。请将文件重新上传到其训练，并据此新建版本。",
  ),
  gone: one(404, "The file no longer exists.", "文件已不在那里。"),
  "hash-differs": one(
    422,
    "The bytes do not have the announced SHA-256. Nothing was stored.",
    "内容与声明的 SHA-256 不符，未作存储。",
  ),
  "idempotency-key-reused": one(
    422,
    "This Idempotency-Key was used for another registration within the last 30 days. Send a new key for a new run.",
    "该 Idempotency-Key 在最近 30 天内已用于另一次登记。新的训练请用新的键。",
  ),
  "headers-too-long": one(431, "The headers are over {most} bytes.", "请求头超过 {most} 字节。"),
  internal: one(
    500,
    "Something went wrong on the server. The request can be repeated; if it keeps failing, see the Worker's log.",
    "服务器出错。可以重试；如果一再失败，请查看 Worker 的日志。",
  ),
  "key-expired": one(
    401,
    "This key has expired. Ask for a new one.",
    "此密钥已过期，请索取新密钥。",
  ),
  "key-not-valid": one(
    401,
    "This key is not valid here. Send `Authorization: Bearer <key>`.",
    "此密钥在这里无效。请发送 `Authorization: Bearer <key>`。",
  ),
  "key-revoked": several(401, {
    ended: [
      "This key was revoked, or its user is no longer active.",
      "此密钥已被吊销，或其用户已停用。",
    ],
    renewing: ["This key was revoked, so it cannot be renewed.", "此密钥已被吊销，不能续期。"],
    making: [
      "This key was revoked or signed out, or its user is no longer active, so it cannot make another key.",
      "此密钥已被吊销或已退出登录，或其用户已停用：不能再生成其他密钥。",
    ],
  }),
  "key-sent": one(
    400,
    "A signed URL takes no Authorization header: the URL itself is the permission. Keep your key to yourself.",
    "签名链接不需要 Authorization：链接本身就是许可。请勿把密钥发给它。",
  ),
  "key-unknown": one(401, "This key is not known to this ledger.", "这里没有这个密钥。"),
  "last-admin": one(
    409,
    "This is the last active admin; make another one first.",
    "这是最后一名在用的管理员，请先指定另一名。",
  ),
  "length-required": one(
    411,
    "Send Content-Length: {size}; chunked bodies are not accepted.",
    "必须给出 Content-Length: {size}；不接受分块传输的内容。",
  ),
  "link-ended": one(
    410,
    "This link has expired, was revoked, or has been used up. Ask whoever gave it to you for another.",
    "链接已过期、已吊销或已用完。请向提供链接的人另取一个。",
  ),
  "link-not-valid": one(
    401,
    "This sign-in link is not valid: it was used already, or it has expired. Make another: npm run key -- --link",
    "登录链接无效：已被使用或已过期。请重新生成：npm run key -- --link",
  ),
  "maker-ended": one(
    409,
    "The key that made this one no longer works, so this one cannot be renewed: ask for a new key.",
    "生成此密钥的密钥已失效，因此不能续期，请索取新密钥。",
  ),
  "maker-not-allowed": several(403, {
    viewer: [
      "The user who made this token is a viewer now and may no longer enrol boxes. Ask a member or an admin for another token.",
      "生成此令牌的用户现在是只读用户，已不能登记机器。请向成员或管理员另取一个令牌。",
    ],
    inactive: [
      "The user who made this token is no longer active and may no longer enrol boxes. Ask a member or an admin for another token.",
      "生成此令牌的用户已停用，不能再登记机器。请向成员或管理员另取一个令牌。",
    ],
  }),
  "malformed-json": one(
    400,
    "The body is not valid JSON: {reason}",
    "内容不是有效的 JSON：{reason}",
  ),
  "method-not-allowed": one(
    405,
    "{path} takes {allowed}, not {method}. See /docs.",
    "{path} 接受 {allowed}，不接受 {method}。见 /docs。",
  ),
  "name-taken": several(409, {
    user: ["There is a user named {name} already.", "已有名为 {name} 的用户。"],
    model: ["There is a model named {name} already.", "已有名为 {name} 的模型。"],
    similar: [
      "There is a model named {taken} already, which reads the same as {name}.",
      "已有名为 {taken} 的模型，与 {name} 读起来相同。",
    ],
    view: [
      "You have a view named {name} already: change it, or choose another name.",
      "您已有名为 {name} 的视图：请修改它，或另取名称。",
    ],
  }),
  "no-expiry": one(409, "This key does not expire.", "此密钥没有期限。"),
  "no-key": one(
    401,
    "Send a key: `Authorization: Bearer <key>`.",
    "请发送密钥：`Authorization: Bearer <key>`。",
  ),
  "no-previous-version": one(
    409,
    "{alias} named no other version before, so there is nothing to roll back to.",
    "{alias} 此前不在其他版本上：没有可以退回的版本。",
  ),
  "no-route": one(
    404,
    "There is no {method} {path} here. See /docs.",
    "这里没有 {method} {path}。见 /docs。",
  ),
  "not-a-draft": one(
    409,
    "Version {version} is {state}: the licence of a submitted version cannot change. Withdraw it, or make a new version.",
    "版本 {version} 为{state}：已提交审核的版本不能再改许可。请撤回，或新建版本。",
  ),
  "not-a-model-file": several(409, {
    kind: [
      "Weight {weight} is a {kind} file: only final files and checkpoints become versions.",
      "文件 {weight} 的类型是 {kind}：只有最终文件和检查点可以成为版本。",
    ],
    incomplete: [
      "Weight {weight} is not complete: it is {state}.",
      "文件 {weight} 尚不完整：{state}。",
    ],
  }),
  "not-allowed": several(403, {
    scope: [
      "This key cannot do this: it needs the scope {scopes}, within the rights of a {role}.",
      "此密钥无权这样做：需要权限范围 {scopes}，且不超出 {role} 的权利。",
    ],
    scopes: [
      "This key cannot do this: it needs the scopes {scopes}, within the rights of a {role}.",
      "此密钥无权这样做：需要权限范围 {scopes}，且不超出 {role} 的权利。",
    ],
    unapproved: [
      "This key does not see all of version {version} of {model}, which was never approved: it needs the scope {scopes}, within the rights of a {role}.",
      "{model} 的版本 {version} 从未获批准，此密钥不能看到全部：需要权限范围 {scopes}，且不超出 {role} 的权利。",
    ],
    "unapproved-many": [
      "This key does not see all of version {version} of {model}, which was never approved: it needs the scopes {scopes}, within the rights of a {role}.",
      "{model} 的版本 {version} 从未获批准，此密钥不能看到全部：需要权限范围 {scopes}，且不超出 {role} 的权利。",
    ],
    box: [
      "A box key cannot do this: it registers runs, reports on them and uploads their weights.",
      "机器的密钥无权这样做：它只登记训练、汇报进展和上传文件。",
    ],
    "box-session": [
      "A box key cannot sign in: it is for rented machines. Sign in with a key of your own.",
      "机器的密钥不能登录：它用于租用的机器。请用您自己的密钥登录。",
    ],
    "box-queue": [
      "A box key cannot put runs into the queue: that would decide what other boxes run.",
      "机器的密钥不能把训练放入队列：那会决定其他机器运行什么。",
    ],
    "box-edit": [
      "A box key may change notes only, not {fields}.",
      "机器的密钥只能修改备注，不能修改 {fields}。",
    ],
    "box-enrol": [
      "A box uploads files, so enrolling one also needs the scope weights:write.",
      "机器会上传文件：还需要 weights:write。",
    ],
    shared: [
      "Only an admin may let a box run everyone's tasks: ask one to run `lora-ledger enrol --shared`, or leave out `shared` for a box that runs your own.",
      "只有管理员能让机器运行所有人的训练：请管理员运行 `lora-ledger enrol --shared`，或去掉 `shared`，让机器只运行您自己的。",
    ],
    "others-key": ["Only admins make keys for other users.", "只有管理员能为其他用户生成密钥。"],
    beyond: [
      "A key with {scopes} would have more rights than this key and its user.",
      "带有 {scopes} 的密钥超出了此密钥及其用户的权限。",
    ],
    renew: [
      "A key can only renew itself: send the key that you want to renew as the bearer.",
      "密钥用其自身续期：请把它作为 Bearer 发送。",
    ],
    protected: [
      "{alias} is protected: moving it needs a key with the scope models:release.",
      "{alias} 受保护：移动它需要带有 models:release 权限范围的密钥。",
    ],
  }),
  "not-approved": several(409, {
    ended: [
      "Version {version} is {state}: a version that has ended cannot carry an alias.",
      "版本 {version} 为{state}：不能再带有别名。",
    ],
    waiting: [
      "Version {version} is {state}: only an approved version carries {alias}.",
      "版本 {version} 为{state}：{alias} 只能用于已批准的版本。",
    ],
  }),
  "not-complete": one(
    409,
    "{filename} is not complete: it is {state}.",
    "{filename} 尚不完整：{state}。",
  ),
  "not-configured": one(503, "{reason}", "服务尚未配置好：{reason}"),
  "not-ended": several(409, {
    running: [
      "Task {task} is {status}: only a failed or cancelled run is tried again. To take it from its box, requeue it.",
      "训练 {task} 为{status}：只有失败或已取消的训练可以重试。要从机器收回，请重新排队。",
    ],
    other: [
      "Task {task} is {status}: only a failed or cancelled run is tried again.",
      "训练 {task} 为{status}：只有失败或已取消的训练可以重试。",
    ],
  }),
  "not-fit-to-share": several(409, {
    version: [
      "Version {version} is {state} and verified by {verified}: only approved versions verified by {needed} or better can be shared.",
      "版本 {version} 为{state}，校验方式为 {verified}：只有已批准且至少经 {needed} 校验的版本可以对外分享。",
    ],
    link: [
      "The version that this link names is not approved at the moment.",
      "该链接指向的版本目前未获批准。",
    ],
  }),
  "not-found": several(404, {
    alias: ["There is no alias {alias} of a model {model}.", "模型 {model} 没有别名 {alias}。"],
    "alias-at": [
      "No version of {model} carried {alias} at {at}.",
      "{at} 时，{model} 没有版本带有 {alias}。",
    ],
    "alias-ever": [
      "{model} has no alias {alias}: it was never set, or it was removed.",
      "{model} 没有别名 {alias}：从未设置，或已移除。",
    ],
    "alias-mover": [
      "There is no model {model} whose aliases you may move.",
      "您没有名为 {model}、可由您移动别名的模型。",
    ],
    attempt: [
      "There is no attempt {attempt} of task {task}.",
      "训练 {task} 没有第 {attempt} 次尝试。",
    ],
    "audit-file": ["There is no audit file {id}.", "没有编号为 {id} 的审计文件。"],
    config: [
      "There is no configuration file of a task {id}.",
      "训练 {id} 没有配置文件，或没有这个训练。",
    ],
    dataset: ["There is no dataset {id}.", "没有编号为 {id} 的数据集。"],
    delivery: [
      "There is no delivery {id} to a webhook of yours.",
      "您的 Webhook 没有编号为 {id} 的通知。",
    ],
    link: ["There is no such link.", "没有这个链接。"],
    "live-box": ["There is no live box {id} of yours.", "您没有编号为 {id} 的在用机器。"],
    "live-key": ["There is no live key {id} of yours.", "您没有编号为 {id} 的有效密钥。"],
    "live-link": [
      "There is no live link {id} of a model {model}.",
      "模型 {model} 没有编号为 {id} 的有效链接。",
    ],
    metric: ["Task {task} has reported no metric {metric}.", "训练 {task} 没有上报指标 {metric}。"],
    model: ["There is no model {id}.", "没有名为 {id} 的模型。"],
    "own-dialect": ["There is no dialect {id} of yours.", "您没有编号为 {id} 的方言文件。"],
    "own-model": ["There is no model {id} of yours.", "您没有名为 {id} 的模型。"],
    "own-rule": ["There is no rule {id} of yours.", "您没有编号为 {id} 的规则。"],
    "own-task": ["There is no task {id} of yours.", "您没有编号为 {id} 的训练。"],
    "own-trashed-task": [
      "There is no task {id} of yours in the trash.",
      "您的回收站中没有编号为 {id} 的训练。",
    ],
    "own-trashed-weight": [
      "There is no weight {id} of yours in the trash.",
      "您的回收站中没有编号为 {id} 的文件。",
    ],
    "own-version": [
      "There is no version {version} of a model {model} of yours.",
      "您的模型 {model} 没有版本 {version}。",
    ],
    "own-view": ["There is no view {id} of yours.", "您没有编号为 {id} 的视图。"],
    "own-mirror": ["There is no mirror {id} of yours.", "您没有编号为 {id} 的镜像。"],
    "mirrored-run": [
      "The mirror {mirror} has no run {id}.",
      "镜像 {mirror} 中没有编号为 {id} 的训练。",
    ],
    "own-webhook": ["There is no webhook {id} of yours.", "您没有编号为 {id} 的 Webhook。"],
    "own-weight": ["There is no weight {id} of yours.", "您没有编号为 {id} 的文件。"],
    task: ["There is no task {id}.", "没有编号为 {id} 的训练。"],
    template: ["There is no template {id}.", "没有模板 {id}。"],
    user: ["There is no user {id}.", "没有编号为 {id} 的用户。"],
    version: [
      "There is no version {version} of a model {model}.",
      "模型 {model} 没有版本 {version}。",
    ],
    view: ["There is no view {id} that you may open.", "没有编号为 {id} 的视图，或您无权打开。"],
    weight: ["There is no weight {id}.", "没有编号为 {id} 的文件。"],
  }),
  "not-imported": one(
    409,
    "Task {task} was not imported with an attempt {attempt}; a run under way reports by heartbeat.",
    "训练 {task} 没有导入第 {attempt} 次尝试；进行中的训练请用心跳汇报。",
  ),
  "not-redelivered": several(409, {
    waiting: [
      "Delivery {delivery} is on its way: the next try is at {at}.",
      "通知 {delivery} 正在发送途中：下次尝试在 {at}。",
    ],
    off: [
      "The webhook {webhook} is switched off or deleted, so the service sends nothing to it.",
      "Webhook {webhook} 已停用或删除，不会再发送。",
    ],
  }),
  "not-uploaded": one(
    409,
    "No bytes of {filename} have arrived. PUT them to the signed URL first.",
    "{filename} 的内容尚未到达。请先 PUT 到签名链接。",
  ),
  "not-valid": several(422, {
    faults: [
      "{what} was refused and nothing was stored: {faults}.",
      "内容有误，未作存储：{faults}。",
    ],
    filter: [
      "The {path} is not right at character {position}: {message}.",
      "{path} 的第 {position} 个字符处有误：{message}。",
    ],
  }),
  "number-changed": one(
    409,
    "This would change {changed} tasks, not {expected}, so nothing was changed. Check again with dry_run.",
    "将改动 {changed} 个训练，而不是 {expected} 个，因此未作改动。请用 dry_run 再看一次。",
  ),
  "over-limit": one(
    403,
    "{used} of at most {most} {what} are in use for this user, so the ledger takes no more. {remedy}; or an admin raises {setting}.",
    "该用户已用 {used}，上限为 {most}（{setting}）。请先腾出空间，或请管理员调高上限。",
  ),
  "own-version": one(
    403,
    "Nobody may decide on a version that they trained, uploaded, made or submitted: another user with the scope models:approve has to. In a one-person ledger, set ALLOW_SELF_APPROVAL.",
    "不能审批自己训练、上传、建立或提交的版本：须由另一名带有 models:approve 的用户审批。只有一人使用时，请设置 ALLOW_SELF_APPROVAL。",
  ),
  "parts-differ": several(409, {
    missing: [
      "Parts of {filename} have not arrived, or are others than were named: send them again and begin anew.",
      "{filename} 的分块未到齐，或与所列的不符：请重新开始上传。",
    ],
    uneven: [
      "The parts of {filename} differ in length: all but the last must have the same, of at least {least} bytes.",
      "{filename} 的分块长度不一：除最后一块外必须相同，且至少 {least} 字节。",
    ],
  }),
  "parts-missing": one(
    409,
    "{missing} of {total} parts of {filename} have not arrived whole. GET /api/weights/{weight}/upload gives URLs for them.",
    "{filename} 的 {total} 个分块中有 {missing} 个尚未完整到达。GET /api/weights/{weight}/upload 会给出链接。",
  ),
  range: one(416, "The file has {size} bytes.", "超出文件范围：文件有 {size} 字节。"),
  refused: one(400, "{reason}", "请求被拒绝：{reason}"),
  "session-ended": one(401, "This session has ended. Sign in again.", "登录已结束，请重新登录。"),
  "session-expired": one(401, "This session has ended. Sign in again.", "登录已过期，请重新登录。"),
  "session-not-valid": one(
    401,
    "This session is not valid here. Sign in again.",
    "登录在这里无效，请重新登录。",
  ),
  "session-unknown": one(
    401,
    "This session is not known to this ledger.",
    "这里没有这次登录，请重新登录。",
  ),
  "signature-not-valid": one(
    403,
    "This URL was not made by the ledger, or was changed on the way.",
    "此链接不是由本服务生成的，或在途中被改动。",
  ),
  "storage-unreachable": several(503, {
    silent: [
      "The file storage could not {what}. Nothing was lost; try again in a few seconds.",
      "暂时无法连接文件存储，没有数据丢失，请几秒后重试。",
    ],
    answered: [
      "The file storage could not {what} (it answered {status}). Nothing was lost; try again in a few seconds.",
      "文件存储出错（答复 {status}），没有数据丢失，请几秒后重试。",
    ],
  }),
  superseded: several(409, {
    upload: [
      "Attempt {attempt} was superseded by attempt {current} of this task: it can upload nothing more.",
      "该训练的第 {attempt} 次尝试已被第 {current} 次接替，不能再上传。",
    ],
    taken: [
      "superseded: task {task} was taken from this key and is at attempt {current}, so nothing that this key ran counts any more.",
      "训练 {task} 已从此密钥收回，现在是第 {current} 次尝试；此密钥所运行的不再计入。",
    ],
    attempt: [
      "superseded: attempt {current} has taken over task {task}, so nothing of attempt {attempt} counts any more.",
      "第 {current} 次尝试已接替训练 {task}，第 {attempt} 次不再计入。",
    ],
  }),
  "task-ended": several(409, {
    repeat: [
      "Task {task} has ended in success. Register a new run with parent_task_id {task} to repeat it.",
      "训练 {task} 已成功结束。要重复，请以 parent_task_id {task} 登记新的训练。",
    ],
    resume: [
      "Task {task} has ended in {status}. Register a new run with parent_task_id {task} to continue from it.",
      "训练 {task} 已结束（{status}）。要由此继续，请以 parent_task_id {task} 登记新的训练。",
    ],
  }),
  "task-running": one(
    409,
    "Task {task} is {status}: let it end or finish it before you delete it.",
    "训练 {task} 为{status}：请先等它结束或取消它，再删除。",
  ),
  "token-not-valid": one(
    401,
    "This token is not valid: it was used already, it has expired, or the key that made it no longer works. Make another: POST /api/boxes/enrol.",
    "令牌无效：已被使用、已过期，或生成它的密钥已失效。请另取一个：POST /api/boxes/enrol。",
  ),
  "too-large": several(413, {
    "unknown-length": [
      "Bodies without Content-Length may have up to {limit} bytes; send Content-Length for more.",
      "没有 Content-Length 的内容最大为 {limit} 字节；更大的内容须给出 Content-Length。",
    ],
    console: [
      "Consoles of up to {limit} bytes are shown; this one has {size}. Download the file.",
      "最多显示 {limit} 字节的控制台日志；此文件有 {size} 字节。请下载该文件。",
    ],
    signed: [
      "The body has {length} bytes, the URL was signed for {size}.",
      "内容有 {length} 字节，链接只为 {size} 字节签名。",
    ],
    file: [
      "Files of up to {limit} bytes can be uploaded here; this one has {size}.",
      "这里可上传的文件最大为 {limit} 字节；此文件有 {size} 字节。",
    ],
    body: [
      "The body is over {limit} bytes, which is the maximum for this route.",
      "内容超过 {limit} 字节，即此地址的上限。",
    ],
  }),
  "too-many-attempts": one(
    409,
    "Task {task} has made {attempts} attempts, which is the maximum. Register a new run with parent_task_id {task} to continue from it.",
    "训练 {task} 已尝试 {attempts} 次，达到上限。要由此继续，请以 parent_task_id {task} 登记新的训练。",
  ),
  "too-many-gaps": one(
    422,
    "{gaps} ranges of this attempt's heartbeats are missing. Send those first, or continue with seq {next}.",
    "这次尝试缺失 {gaps} 段心跳。请先补发，或从 seq {next} 继续。",
  ),
  "too-many-makers": one(
    409,
    "This key is the {generation}th in a line of keys, each made by the one before, so it cannot make another. Make one on the command line (npm run key), or with a key nearer to the first.",
    "此密钥处于逐级生成的第 {generation} 级，不能再生成密钥。请在命令行生成（npm run key），或用更上一级的密钥。",
  ),
  "too-many-requests": several(429, {
    key: [
      "This key sends more requests than the ledger takes. Try again in {seconds} seconds.",
      "此密钥的请求过于频繁，请 {seconds} 秒后再试。",
    ],
    user: [
      "The keys of this user together send more requests than the ledger takes. Try again in {seconds} seconds.",
      "该用户各密钥的请求合计过于频繁，请 {seconds} 秒后再试。",
    ],
    failures: [
      "Too many requests without a valid key came from here. Try again in {seconds} seconds.",
      "来自此处的无效密钥请求过多，请 {seconds} 秒后再试。",
    ],
  }),
  "too-many-versions": one(
    409,
    "{model} has {most} versions, which is the maximum. Make another model for further versions.",
    "{model} 已有 {most} 个版本，达到上限。请为以后的版本新建模型。",
  ),
  "too-short": one(
    400,
    "The body has {length} bytes, the URL was signed for {size}.",
    "内容有 {length} 字节，链接为 {size} 字节签名。",
  ),
  "unsupported-content-type": one(
    415,
    "Send the file itself as the body: curl --data-binary @config.toml, not -F.",
    "请把文件本身作为内容发送：curl --data-binary @config.toml，而不是 -F。",
  ),
  "upload-aborted": several(409, {
    before: [
      "The upload of {filename} was given up. Announce the file again to upload it anew.",
      "{filename} 的上传已中止。请重新声明文件后再上传。",
    ],
    meanwhile: ["The upload was given up in the meantime.", "上传其间已中止。"],
  }),
  "upload-closed": one(
    410,
    "This upload was completed or given up; its URLs no longer work.",
    "该上传已完成或已中止，其链接不再有效。",
  ),
  "url-expired": one(
    403,
    "This URL has expired. Ask the ledger for a fresh one.",
    "链接已过期，请重新获取。",
  ),
  "url-too-long": one(414, "The address is over {most} bytes.", "地址超过 {most} 字节。"),
  "worker-away": one(
    503,
    "The Worker does not answer at the moment. Try again in a few seconds.",
    "服务暂时没有应答，请几秒后重试。",
  ),
  "wrong-state": several(409, {
    step: [
      "Version {version} of {model} is {state}: only what is {from} becomes {to}.",
      "{model} 的版本 {version} 为{state}：只有{from}才能变为{to}。",
    ],
    released: ["Version {version} is released already.", "版本 {version} 已经发布。"],
  }),
};

type Problems = typeof problems;
export type ProblemCode = keyof Problems;

/** The names in braces of a sentence. */
type Names<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Names<Rest>
  : never;

type Params<Text extends string> = { [Name in Names<Text>]: ParamValue };

/** The parameters of a code: those of its sentence, or `case` and those of that case's sentence. */
export type ProblemParams<Code extends ProblemCode> = Problems[Code] extends {
  says: readonly [infer English extends string, string];
}
  ? Params<English>
  : Problems[Code] extends { cases: infer Cases extends Record<string, Sentence> }
    ? { [Case in keyof Cases]: { case: Case } & Params<Cases[Case][0]> }[keyof Cases]
    : never;

/** The two sentences of a code as a problem's body names it; null where this catalogue has none. */
export function sentenceOf(code: string, params: Readonly<Record<string, unknown>>) {
  if (!Object.hasOwn(problems, code)) return null;
  const entry = problems[code as ProblemCode];
  if ("says" in entry) return entry.says;
  const cases: Record<string, Sentence> = entry.cases;
  const name = String(params.case);
  return Object.hasOwn(cases, name) ? (cases[name] ?? null) : null;
}
